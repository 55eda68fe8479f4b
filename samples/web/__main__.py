"""Serve: `python -m samples.web [port]`."""

import sys

import uvicorn

from samples.web.app import api

if __name__ == "__main__":
    uvicorn.run(api, port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
