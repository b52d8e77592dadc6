import imaplib
import zlib

# RFC 4978: after the OK everything is one raw deflate stream each way.
if HOW == "implicit":
    box = imaplib.IMAP4_SSL(HOST, int(PORT), ssl_context=TRUST)
else:
    box = imaplib.IMAP4(HOST, int(PORT))
    assert box.starttls(TRUST)[0] == "OK"
box.login(USER, PASSWORD)
wire = box.sock
wire.sendall(b"z1 COMPRESS DEFLATE\r\n")
answer = b""
while not answer.endswith(b"\r\n"):
    answer += wire.recv(1)  # no byte of the deflate stream
assert answer.startswith(b"z1 OK"), answer

pack, unpack = zlib.compressobj(9, zlib.DEFLATED, -15), zlib.decompressobj(-15)


def say(command, final):
    wire.sendall(pack.compress(command + b"\r\n") + pack.flush(zlib.Z_SYNC_FLUSH))
    heard = b""
    while True:
        packed = wire.recv(65536)
        assert packed, heard[-200:]
        heard += unpack.decompress(packed)
        if heard.endswith(b"\r\n") and heard[heard.rfind(b"\r\n", 0, -2) + 2 :].startswith(final):
            return heard


say(b"z2 SELECT INBOX", b"z2 OK")
fetched = say(b"z3 FETCH 1 BODY[]", b"z3 OK")
size = int(fetched[fetched.index(b"{") + 1 : fetched.index(b"}")])
start = fetched.index(b"}\r\n") + 3
say(b"z4 LOGOUT", b"z4 OK")
sys.stdout.buffer.write(fetched[start : start + size])
