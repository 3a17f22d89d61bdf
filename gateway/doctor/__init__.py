"""Looks at the machine as deployed: what a configuration alone cannot tell. Each check gives findings."""
