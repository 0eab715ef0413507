"""`python -m rewirl` is the command `rewirl`."""

from rewirl.cli.main import main

if __name__ == "__main__":
    main()
