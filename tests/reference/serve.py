"""Runs scripts of this folder for a test program, so that what they import is imported once.

python serve.py REQUESTS ANSWERS (file descriptors): reads lines ["script.py", argument...] (JSON) from the one, runs each in a
copy of this process, and writes its exit status as a line to the other.
"""
import ast
import importlib
import json
import os
import pathlib
import runpy
import sys
import traceback


def run(script, arguments):
    for line in ast.parse(script.read_text()).body:
        if isinstance(line, (ast.Import, ast.ImportFrom)):
            for name in [line.module] if isinstance(line, ast.ImportFrom) else [alias.name for alias in line.names]:
                importlib.import_module(name)
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    status = 1
    try:
        sys.argv = [str(script), *arguments]
        runpy.run_path(str(script), run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
        if status and end.code != status:
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def main(requests, answers):
    folder = pathlib.Path(__file__).resolve().parent
    with os.fdopen(int(requests)) as lines, os.fdopen(int(answers), "w") as out:
        for line in lines:
            name, *arguments = json.loads(line)
            print(run(folder / name, arguments), file=out, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
