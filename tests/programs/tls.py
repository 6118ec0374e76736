"""What tests over TLS share: certificates made on the spot, and the server of tls_server.py."""

import os
import subprocess

from harness import HERE, PYTHON, Program, folder, needs, wait_until


def certificate(name="server"):
    """The path of a new key and certificate for 127.0.0.1 and localhost, which signs itself."""
    needs("openssl")
    path = os.path.join(folder(), f"{name}.pem")
    key = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "2", "-subj", f"/CN={name}", "-addext",
         "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout", "-", "-out", path + ".crt"],
        check=True, capture_output=True).stdout
    with open(path + ".crt", "rb") as crt, open(path, "wb") as both:
        both.write(key + crt.read())
    return path


class TlsServer(Program):
    def __init__(self, path, green=False):
        super().__init__(PYTHON, os.path.join(HERE, "tls_server.py"), path, green=green)
        wait_until(lambda: self.output.endswith(b"\n"), f"the port of {self}", 20)
        self.port = int(self.output)

    def url(self, ms, size=20):
        return f"https://127.0.0.1:{self.port}/{ms}/{size}"
