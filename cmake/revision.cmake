# Writes the git revision of SOURCE into the Python file OUTPUT: `cmake -DSOURCE=... -DOUTPUT=... -P revision.cmake`.
# The environment variable REWIRL_REVISION says it where there is no history, in an archive for example. Without either it is None.
set(revision "$ENV{REWIRL_REVISION}")
if(NOT revision)
  # Unpacked inside somebody else's repository, the source is not one of its files.
  execute_process(COMMAND git -C "${SOURCE}" ls-files --error-unmatch CMakeLists.txt
                  RESULT_VARIABLE missing OUTPUT_QUIET ERROR_QUIET)
  if(missing EQUAL 0)
    execute_process(COMMAND git -C "${SOURCE}" rev-parse HEAD
                    OUTPUT_VARIABLE revision OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    execute_process(COMMAND git -C "${SOURCE}" status --porcelain --untracked-files=no
                    OUTPUT_VARIABLE changes OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(revision AND changes)
      string(APPEND revision "-dirty")
    endif()
  endif()
endif()
if(revision MATCHES "^[A-Za-z0-9._+-]+$")
  set(value "\"${revision}\"")
else()
  set(value "None")
endif()
file(WRITE "${OUTPUT}" "\"\"\"The revision of the source that was built; written by the build.\"\"\"\n\nREVISION = ${value}\n")
