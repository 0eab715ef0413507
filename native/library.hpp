// What a C++ file of a user's own includes: operations and weight formats that `rewirl.nn.load_native` compiles and
// makes known. It sees the types of operation.hpp and weights.hpp as they are in the core that is running.
#pragma once
#include <exception>
#include <string>

#include "operation.hpp"
#include "weights.hpp"

// Ends such a file: REWIRL_REGISTER { rewirl::register_operation("square", make_square); }
#define REWIRL_REGISTER                                                               \
  static void rewirl_register_all();                                                  \
  extern "C" const char* rewirl_register() { /* null, or what is wrong: for Python */ \
    static std::string fault;                                                         \
    try {                                                                             \
      rewirl_register_all();                                                          \
      return nullptr;                                                                 \
    } catch (const std::exception& error) {                                           \
      fault = error.what();                                                           \
      return fault.c_str();                                                           \
    }                                                                                 \
  }                                                                                   \
  static void rewirl_register_all()
