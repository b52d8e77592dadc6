import base64

SCRIPT = b'require "fileinto";\r\nif header :contains "subject" "STARTTLS" { fileinto "STARTTLS"; }\r\n'


class Sieve:
    """As much of RFC 5804 as it takes to keep a script."""

    def __init__(self):
        self.wire = dial((HOST, PORT))
        self.read = self.wire.makefile("rb")

    def secure(self):
        self.wire = TRUST.wrap_socket(self.wire, server_hostname=HOST)
        self.read = self.wire.makefile("rb")

    def say(self, command):
        self.wire.sendall(command + b"\r\n")
        return self.answer()

    def answer(self):
        """The lines before the final one, literals included; anything but OK is an error."""
        before = b""
        while True:
            line = self.read.readline()
            assert line.endswith(b"\r\n"), before + line
            if line.startswith(b"OK"):
                return before
            assert not line.startswith((b"NO", b"BYE")), before + line
            before += line
            if line.startswith(b"{"):
                before += self.read.read(int(line.strip(b"{+}\r\n")))


box = Sieve()
if HOW == "implicit":
    box.secure()
    inside = box.answer()
else:
    before = box.answer()
    assert b'"STARTTLS"' in before, before
    box.say(b"STARTTLS")
    box.secure()
    inside = box.answer()  # RFC 5804 section 2.2: it comes unasked
assert b'"SIEVE"' in inside and b'"STARTTLS"' not in inside, inside
box.say(b'AUTHENTICATE "PLAIN" "' + base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()) + b'"')
box.say(b'PUTSCRIPT "mine" {%d+}\r\n%s' % (len(SCRIPT), SCRIPT))
box.say(b'SETACTIVE "mine"')
listed = box.say(b"LISTSCRIPTS")
assert listed == b'"mine" ACTIVE\r\n', listed
got = box.say(b'GETSCRIPT "mine"')
assert SCRIPT in got, got
box.say(b"LOGOUT")
sys.stdout.buffer.write(SCRIPT)
