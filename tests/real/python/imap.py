import imaplib

if HOW == "implicit":
    box = imaplib.IMAP4_SSL(HOST, int(PORT), ssl_context=TRUST)
else:
    box = imaplib.IMAP4(HOST, int(PORT))
    assert box.starttls(TRUST)[0] == "OK"
box.login(USER, PASSWORD)
box.select("INBOX")
(answer, [(_, message), _]) = box.fetch("1", "(BODY[])")
assert answer == "OK", answer
box.logout()
sys.stdout.buffer.write(message)
