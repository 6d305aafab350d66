"""`python -m sim`: signals end it from the first instant on, and what they interrupt is cleared up."""

import os
import sys

if __name__ == "__main__":
    from sim.study.interrupts import ended_by_signals

    with ended_by_signals():
        try:
            from sim.cli import main

            code = main()
        except KeyboardInterrupt:  # so early that nothing of ours was there to be told
            print("interrupted", file=sys.stderr, flush=True)
            code = 130
    if code == 130:
        os._exit(code)  # CPython would end itself by SIGINT where an interrupt had passed through an exec()
    raise SystemExit(code)
