"""A hook that there is not: loads"""

from gateway import hookimpl


@hookimpl
def rewrite_reqest(request):
    request.headers["x-never"] = "sent"
