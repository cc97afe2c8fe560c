"""`python -m mriqa`."""

from mriqa.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
