"""An nginx with a configuration of a test's own."""

from live_servers import Process, _until_it_answers


class WrittenNginx(Process):
    """nginx as *text* says; it must listen on 127.0.0.1:*port* without TLS."""

    def __init__(self, folder, name, text, port):
        prefix = folder / name
        prefix.mkdir()
        prefix.chmod(0o777)  # started by root it writes as somebody else
        self.port = port
        (prefix / "nginx.conf").write_text(text)
        command = ["/usr/sbin/nginx", "-e", "stderr", "-p", str(prefix), "-c", str(prefix / "nginx.conf")]
        super().__init__([*command, "-g", "daemon off;"], folder, name)
        _until_it_answers(self, port)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"
