#!/usr/bin/env bash
# Gets pyca's cryptography, with which tests/crypto/open_store.py opens a store, and prints the path of the
# Python that has it.
set -euo pipefail

home="$("$(dirname "$0")/python_package.sh" cryptography 50.0.2)"
printf '%s\n' "$home/bin/python"
