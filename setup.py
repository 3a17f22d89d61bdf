"""Everything that is not a list of packages stands in setup.cfg."""

from setuptools import find_packages, setup

# plugins/ and conf/ stand beside the package in a checkout and inside it in a wheel. Plugins are
# loaded by path, so they need no __init__.py; that is why they are named here.
BESIDE = ["gateway.conf", "gateway.plugins", "gateway.plugins.providers", "gateway.plugins.features"]

setup(packages=find_packages(include=["gateway", "gateway.*"]) + BESIDE)
