"""A certificate authority of a test's own, and what it signs."""

import ssl
import subprocess

_NEW = ("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


def make_papers(folder, authority, wanted):
    """In *folder*: the *authority* (its subject) as ca.pem and ca.key, and what it signed as NAME.pem and NAME.key,
    for each name of *wanted* -> (days, extension) or (days, extension, subject). The folder."""
    openssl(folder, *_NEW, "-x509", "-keyout", "ca.key", "-out", "ca.pem", "-days", "99", "-subj", authority,
            "-addext", "keyUsage=critical,keyCertSign")  # fmt: skip
    for name, (days, extension, *subject) in wanted.items():
        (folder / f"{name}.ext").write_text(extension)
        openssl(folder, *_NEW, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", *(subject or [f"/CN={name}"]))
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
                "-days", str(days), "-extfile", f"{name}.ext", "-out", f"{name}.pem")  # fmt: skip
    return folder


def openssl(folder, *arguments):
    """What it prints."""
    done = subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, text=True, timeout=30)
    return done.stdout


def sha256(folder, name):
    """The certificate's fingerprint, as openssl prints it."""
    told = openssl(folder, "x509", "-in", f"{name}.pem", "-noout", "-fingerprint", "-sha256")
    return told.strip().partition("=")[2]


def server_context(folder, name, asks=False):
    """TLS with that certificate; *asks*: clients need one of the same authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
    if asks:
        context.load_verify_locations(folder / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
    return context
