import os
import smtplib

with open(os.environ["MESSAGE"], "rb") as file:
    message = file.read()
if HOW == "implicit":
    box = smtplib.SMTP_SSL(HOST, int(PORT), local_hostname="client.example.net", context=TRUST)
else:
    box = smtplib.SMTP(HOST, int(PORT), local_hostname="client.example.net")
if HOW == "starttls":
    assert box.starttls(context=TRUST)[0] == 220
    box.ehlo()
    assert not box.has_extn("starttls")
if USER:
    box.login(USER, PASSWORD)
refused = box.sendmail("sender@example.net", ["alice@example.org"], message)
assert refused == {}, refused
assert box.quit()[0] == 221
