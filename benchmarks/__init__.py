"""The gateway beside nginx and LiteLLM, under the same load, in one run. See README.md."""
