#!/usr/bin/env bash
# Gets schemathesis, which plays an OpenAPI document against the daemon that serves it, and prints its path.
set -euo pipefail

home="$("$(dirname "$0")/python_package.sh" schemathesis 4.32.5)"
printf '%s\n' "$home/bin/schemathesis"
