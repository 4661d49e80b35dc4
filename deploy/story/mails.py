"""Shows the first mail in DIR whose recipient and subject hold these words: mails.py DIR TO WORDS. Exit 1: there is none yet."""

import email
import email.policy
import pathlib
import sys

directory, to, words = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
for file in sorted(directory.glob("*.eml")):
    mail = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    if to not in str(mail["To"]) or words not in str(mail["Subject"]):
        continue
    text = mail.get_body(("plain",)).get_content().strip().splitlines()
    print(f"To: {mail['To']}\nSubject: {mail['Subject']}\n")
    print("\n".join(text[:24]))
    if len(text) > 24:
        print(f"… and {len(text) - 24} lines more")
    sys.exit(0)
sys.exit(1)
