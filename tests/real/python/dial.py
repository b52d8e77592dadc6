"""What the clients written in Python share: who calls whom, and what is trusted.

Arguments: PORT implicit|starttls ROOT.PEM SOURCE-ADDRESS USER PASSWORD
"""

import socket
import ssl
import sys

HOST = "mail.example.org"
PORT, HOW, ROOT, SOURCE, USER, PASSWORD = sys.argv[1:]
TRUST = ssl.create_default_context(cafile=ROOT)

_connect = socket.create_connection


def dial(address, timeout=None, *_rest, **_more):
    """The libraries ask for a host by name; all of them live on this machine."""
    return _connect(("127.0.0.1", int(address[1])), 20, source_address=(SOURCE, 0))


socket.create_connection = dial
