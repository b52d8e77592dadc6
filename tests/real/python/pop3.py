import poplib

if HOW == "implicit":
    box = poplib.POP3_SSL(HOST, int(PORT), context=TRUST)
else:
    box = poplib.POP3(HOST, int(PORT))
    box.stls(TRUST)
box.user(USER)
box.pass_(PASSWORD)
(_, lines, _) = box.retr(1)
box.quit()
sys.stdout.buffer.write(b"".join(line + b"\r\n" for line in lines))
