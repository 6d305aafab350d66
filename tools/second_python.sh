#!/bin/sh
# Print a second interpreter for the tests: 3.13 beside 3.11, else another one from 3.11 on; nothing where there is none.
# Usage: second_python.sh FIRST
first=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
for version in 3.13 3.12 3.14 3.11; do
  [ "$version" = "$first" ] && continue
  for candidate in "python$version" "$HOME"/.pyenv/versions/"$version".*/bin/"python$version"; do
    found=$(command -v "$candidate" 2>/dev/null) || continue
    # a shim may be there without the interpreter behind it; venv and ensurepip may be missing
    if "$found" -c 'import ensurepip, venv' >/dev/null 2>&1; then
      echo "$found"
      exit 0
    fi
  done
done
