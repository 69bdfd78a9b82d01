"""What inputs are made of: words for hypothesis to put together, and for the fuzzer's dictionary."""


def _words(text: bytes) -> list[bytes]:
    return text.split(b"|")


_CLIENT = _words(
    b"EHLO a\r\n|HELO a\r\n|LHLO a\r\n|MAIL FROM:<a@b.test>| SIZE=10| BODY=8BITMIME|RCPT TO:<c@d.test>|DATA\r\n|.\r\n|"
    b"..\r\n|\r\n.\r\n|\n.\n|BDAT 5 LAST\r\n|BDAT 3\r\n|BDAT 900 LAST\r\n|RSET\r\n|QUIT\r\n|AUTH PLAIN |AGEAYg==|"
    b"AUTH LOGIN\r\n|YQ==\r\n|STARTTLS\r\n|\r\n|\n|\r| |\xff|NOOP\r\n|VRFY x\r\n|hello"
)
_SERVER = _words(
    b"220 hi\r\n|250 ok\r\n|250-|PIPELINING\r\n|SIZE 1000\r\n|CHUNKING\r\n|STARTTLS\r\n|SMTPUTF8\r\n|DSN\r\n|"
    b"8BITMIME\r\n|"
    b"354 go\r\n|550 5.1.1 no\r\n|421 bye\r\n|451-a\r\n|451 b\r\n|\r\n|\n|\xff|250 5.7.|999 x\r\n"
)
_PARAMETERS = _words(
    b"FROM:|TO:|<a@b.test>|<>|<\xc3\xa9@b.test>| SIZE=|10| BODY=8BITMIME| SMTPUTF8| RET=FULL| ENVID=| AUTH=<>|"
    b" NOTIFY=|"
    b"NEVER|SUCCESS,DELAY| ORCPT=|rfc822;|utf-8;|\\x{E9}|+2B|+| |\n"
)
_STS = _words(
    b"v=STSv1; id=1;|; |id=|x=y|\n|version: STSv1\n|mode: enforce\n|mode: testing\n|mode: none\n|mx: mx.example.com\n|"
    b"mx: *.example.com\n|mx: |*.|max_age: 86400\n|max_age: 0\n|\r\n| \t|\xff|:|max_age: 99999999999\n"
)
_TLS_REPORT = _words(
    b'{"policies":[|"date-range":{|"start-datetime":"2026-01-01T00:00:00Z"|"end-datetime":"|{"policy":{|"policy-type":|'
    b'"sts"|"policy-string":|"policy-domain":"a.test"|"mx-host":|"summary":{|"total-successful-session-count":|1|-1|1e9|'
    b'"failure-details":[|{"result-type":"x"|"failed-session-count":|:|,|]|}|[|{|"|null|true|\\ud800|\xff|\n|'
    b";rua=|mailto:a@b.test|https://b.test/|!10m|"
)
_COMPLAINT = _words(
    b'Content-Type: multipart/report; report-type=feedback-report; boundary="b"\r\n|--b\r\n|--b--\r\n|\r\n|\n|'
    b"Content-Type: message/feedback-report\r\n|Content-Type: message/rfc822\r\n|Content-Type: text/rfc822-headers\r\n|"
    b"Content-Transfer-Encoding: base64\r\n|Feedback-Type: abuse\r\n|Feedback-Type: |Original-Rcpt-To: <a@b.test>\r\n|"
    b"Original-Mail-From: <bounces+0123456789abcdef01234567=a=b.test@example.org>\r\n|Redacted-Address: redacted@\r\n|"
    b"X-HmXmrOriginalRecipient: a@b.test\r\n|Received: from x by y with z id 1;\r\n|Reporting-MTA: dns; |To: |"
    b"redacted@b.test|Incidents: 5\r\n|Source-IP: ::1\r\n|X-Loop: scomp\r\n|Subject: abuse report\r\n|"
    b"List-Unsubscribe: <https://x/y>\r\n| |<|>|;|,|@|\xff|\x00|Message-ID: <a@b>\r\n"
)
_TLSA = _words(
    b"\x03\x01\x01|\x02\x00\x00|\x03\x01\x02|\x00\x00\x01|\n|" + 32 * b"a" + b"|" + 64 * b"b" + b"|\xff|\x02\x01\x01"
)
_CERTIFICATE = _words(
    b"0\x82\x01\x00|0\x80|0\x03|0\x00|\xa0\x03\x02\x01\x02|\x02\x01\x05|\x30\x84|\x1f\xff|\x03\x02\x00\x01|\xff"
)
_POP3 = _words(
    b"USER a\r\n|PASS b\r\n|STAT\r\n|LIST|UIDL|RETR 1\r\n|TOP 1 0\r\n|DELE 2\r\n|RSET\r\n|QUIT\r\n|CAPA\r\n|"
    b"AUTH PLAIN |AUTH LOGIN\r\n|AGEAYg==\r\n|*\r\n|"
    b"STLS\r\n|UTF8\r\n|LANG\r\n|LANG *\r\n| 1|\r\n|\n|\r|\xff|99999999999999999999999999999999999999999999999999"
)
_IMAP = _words(
    b"a |b LOGIN ann x|AUTHENTICATE PLAIN| AGEAYg==|*|ENABLE QRESYNC|SELECT |EXAMINE x (CONDSTORE)|"
    b" (QRESYNC (1 2 3:4 (1 2)))|APPEND x |REPLACE 1 x |UID |CATENATE (|TEXT |URL /x |UTF8 (|(\\Seen $x) |"
    b'"17-Jul-1996 02:44:25 -0700" |FETCH 1:* |STORE 1 +FLAGS.SILENT |SEARCH |RETURN (MIN PARTIAL 1:5) |'
    b"CHARSET UTF-8 |OR |NOT |UNSEEN |SINCE 1-Feb-1994 |HEADER |MODSEQ 5|SORT (REVERSE DATE) UTF-8 ALL|"
    b'THREAD REFERENCES UTF-8 |COPY 1,$ |MOVE * y|EXPUNGE|LIST |() |"" |% |RETURN (STATUS (MESSAGES) CHILDREN)|'
    b"STATUS x (SIZE)|BODY.PEEK[1.HEADER.FIELDS (a)]<0.5>|BINARY[]|PREVIEW (LAZY)|FULL|(CHANGEDSINCE 1 VANISHED)|"
    b"(UNCHANGEDSINCE 1) |NOTIFY SET (selected (MessageNew (UID) MessageExpunge))|IDLE|DONE|"
    b"SETMETADATA x (/private/a NIL)|GETMETADATA (DEPTH 1) x (/shared/a)|SETACL x y +lr|SETQUOTA x (STORAGE 1)|"
    b"ID (|NIL|CREATE x (USE (\\Sent))|RENAME |STARTTLS|COMPRESS DEFLATE|LOGOUT|NOOP|CLOSE|{3+}\r\n|{3}\r\n|"
    b'~{2+}\r\n|{99+}\r\n|abc|(|)|"|\\|&U,BTFw-|\xc3\xa9|\x00|\r\n|\r\n|\r\n|\r|\n| |+'
)
_TEXT = _words(
    b'<|>|@|a|example.org|"|\\|[127.0.0.1]|[IPv6:::1]|.|,:|xn--|postmaster|=?utf-8?b?|=?iso-2022-jp?q?|?=|YQ==|=E9|'
    b"Subject: |From: |Content-Type: |; name=|\r\n|\r\n |\n|\xc3\xa9|\xef\xbc\xa1|+2B"
)
_MAIL = _words(
    b"Content-Type: |multipart/mixed; boundary=b|multipart/digest; boundary*0=bc|message/rfc822|"
    b"text/html; charset=utf-8|Content-Transfer-Encoding: |base64|quoted-printable|Content-Disposition: attachment; "
    b"filename*=utf-8''a|Date: |Fri, 21 Nov 1997 09:55:06 -0600|References: |<a@b>|From: |To: |g: a@b;|"
    b"Subject: |Re: |[fwd: |=?utf-8?q?=C3=A4?=|--b|--bc|--b--|\r\n|\n|\n\n|\r\n\r\n| |<p>|<!--|<script>|&amp;|=C3|w6Q=|"
    b'"|\\|,|@|;|(|)|\xc3\xa4|\xff|\0'
)
_QUESTION = _words(
    b"\x00\x1d\x00\x07|\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00|\x07example\x03org\x00|\x02mx\xc0\x0c|\x05alias|"
    b"\x04loop|"
    b"\xc0\x0c|\x00\x01\x00\x01|\x00\x0f\x00\x01|\x00\x05\x00\x01|\x00\x00\x29\x02\x00|\x00\xff\x00\xff|\x28\x00|\x80"
)
_ANSWER = _words(
    b"\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00|\x01a\x04test\x00|\xc0\x0c|\x00\x01\x00\x01|\x00\x0f\x00\x01|"
    b"\x00\x10\x00\x01|"
    b"\x00\x00\x01\x2c|\x00\x04|\x7f\x00\x00\x01|\x00\x05\x00\x01|\x00\x00\x29\x02\x00|\x00\x06\x00\x01|\x03"
)
_FRAME = _words(
    b"\x92\x01|\x91|\x90|\x80|\x81\xa1a|\xc4\x01x|\xcb\x7f\xf8|\xd6\xff|\xc1|\xca|\xdd\xff\xff\xff\xff|\xa1\xff|\x2a"
)
_TOML = _words(
    b"[server]\n|hostname = |'mx.example.org'\n|[listen]\n|smtp = |'127.0.0.1:0'\n|[lane.x]\n|stages = [|]\n|"
    b"'queue'|'accept'|"
    b"'relay'|'route', |[[route]]\n|to = '*'\n|lane = 'x'\n|[queue]\n|retry = ['1m']\n|inline = |'1 MB'\n|"
    b"[stage.accept]\n|"
    b"when = 'size > 5'\n|timeout = |workers = |'5s'\n|use = 'filters/x.py'\n|[domains]\nlocal = |"
    b"[dns]\nservers = |[tls]\n|"
    b"1979-05-27|0x|1e9|inf|true|{|}|,|\n"
)
_CONDITION = _words(
    b"not |(|)|[|]|, | and | or | in | not in |==|<|>=|!=|size|sender|recipients|session.login|scan.score|x.y|5|"
    b"-|'a'|1.5|True|"
    b"None|lambda: 0|f()|\\|:="
)
_LDAP = _words(
    b"0\x0c\x02\x01\x01|0\x25\x02\x01\x01|e\x07\n\x01\x00\x04\x00\x04\x00|d\x20|\x04\x05dc=ab|0\x10|0\x0e|\x04\x04mail|1\x06|"
    b"\x04\x04a@b.|s\x03\x04\x01x|\x84\xff\xff\xff\xff|\x80|\xa0\x00|0\x84\x00\x00\x00\x05|\x02\x02\x01\x2c|\x02\x01\x00|x\x07"
)
_FILTER = (*_words(b"(|)|&|!|=|*|mail|:dn:|:=|2.5.13.5|>=|~=|\\2a|\\|a@b.test|\xc3\xa4|\x00"), b"(|")
_UNITS = _words(b"25| MB|KiB|.|1e|9999999999|h|m|ms|w| |-|\xd9\xa1|TB")
_ARCHIVE = _words(
    b'ustar\x00000|content/|0000000000|queue/0/data.mdb|postroad-queue.json|{"format": 2|\x1f\x8b\x08|'
    b"\x00\x00\x00\x00|0"
)

_SIGNED = _words(
    b"DKIM-Signature:|ARC-Seal:|ARC-Message-Signature:|ARC-Authentication-Results:|Authentication-Results:|From:|"
    b" v=1;| i=1;| i=2;| a=ed25519-sha256;| a=rsa-sha256;| b=AAAA;| bh=AAAA;| c=relaxed/relaxed;| d=a.test;| s=b;|"
    b' h=from:to;| cv=none;| cv=pass;| l=1;| t=1;| x=2;| q=dns/txt;| a; arc=pass| <a@b.test>|(|)|"|;|=|,|\r\n|'
    b"\r\n |\r\n\r\n| |\xc3\xa9|\r|\n"
)
_POLICIES = _words(
    b"all|a|mx|ptr|ip4:|ip6:|include:|exists:|redirect=|exp=|x=|192.0.2.0|2001:db8::|/24|//64|%{|s|l|o|d|i|p|v|h|"
    b"c|r|t|2|-|}|%%|%_| |.|:|a.test|;p=|none|reject|;sp=|;np=|;rua=mailto:|;psd=|y|;t=|;pct=|=|;|\xc3\xa9"
)
_REPORT = _words(
    b"<?xml version='1.0'?>|<feedback>|</feedback>|<report_metadata>|</report_metadata>|<org_name>|</org_name>|"
    b"<date_range><begin>1</begin><end>2</end></date_range>|<policy_published>|</policy_published>|<p>none</p>|"
    b"<record>|</record>|<row><count>1</count></row>|<auth_results><dkim><domain>a</domain></dkim></auth_results>|"
    b"<!DOCTYPE a [|<!ENTITY a 'b'>|&a;|&#x9b;|<![CDATA[|]]>|PK\x03\x04|\x1f\x8b\x08|"
    b"Content-Type: application/xml\n|Content-Type: message/rfc822\n|Content-Transfer-Encoding: base64\n|\n|\xff\xfe"
)
_SIEVE = _words(
    b'require "|fileinto|variables|regex|editheader|vacation|include|ihave|imap4flags|relational|body|date|index|";|'
    b'require ["variables", "fileinto", "regex", "editheader", "body", "date", "vacation", "imap4flags", "copy"];\n|'
    b"if |elsif |else |anyof (|allof (|not |true|header |address |envelope |exists |size :over 1K|string |hasflag |"
    b':is |:contains |:matches |:regex |:value "gt" |:count "eq" |:comparator "i;octet" |:all |:domain |:index 1 |'
    b'"subject" |"*a?" |"${1}" |"${x}" |"(a|b)*"|["a", "b"] |{ |} |( |) |, |; |keep|stop|discard|redirect "a@b.test"|'
    b'set "x" |addflag |addheader "X" "y"|deleteheader "x"|fileinto "a"|text:\n|.\n|#|/*|*/|\n|\\|"|\xc3\xa9|\xff|:'
)
_MANAGESIEVE = _words(
    b'AUTHENTICATE "PLAIN"|AUTHENTICATE "LOGIN"\r\n| "AGEAYg=="|"*"\r\n|STARTTLS\r\n|LOGOUT\r\n|CAPABILITY\r\n|'
    b'HAVESPACE "a" 10\r\n|PUTSCRIPT "a" |LISTSCRIPTS\r\n|SETACTIVE ""\r\n|GETSCRIPT "a"\r\n|DELETESCRIPT "b"\r\n|'
    b'RENAMESCRIPT "a" |CHECKSCRIPT |NOOP |UNAUTHENTICATE\r\n|{5+}\r\n|{0}\r\n|{99999+}\r\n|keep;|"|\\|\r\n|\n| |\xff|5'
)
_EXPRESSION = _words(b"a|b|(|)|[|]|[^|[:alpha:]|*|+|?|{2}|{1,3}|{|.|^|$|\\|-|\n|aaaa|\xc3\xa9|A")

_STATUS = [
    b"Content-Type: multipart/report; boundary=b\n\n", b"\n--b\n", b"Content-Type: message/delivery-status\n\n",
    b"--b--\n", b"Reporting-MTA: dns; x\n", b"Final-Recipient: ", b"rfc822; a@b.example\n", b"utf-8; \\x{E9}@b\n",
    b"\n", b"\\x{D800}", b"Action: failed\n", b"Status: 5.1.1\n", b"Diagnostic-Code: smtp; 550 no\n",
    b"Original-Recipient: ", b"Message-ID: <1@x>\n", b"Subject: x\n\n", b"Hi. This is the x\n", b"<a@b.example>:\n",
    b"550 5.1.1 no\n", b"--- Below this line is a copy\n", b"  a@b.example\n", b"    why\n", b"a@b.example\n",
    b"This message was created automatically by mail delivery software\n", b"#550 5.1.1 x ##\n", b"\x1b[", b"\xff",
    b"Delivery has failed to these recipients\n", b"The original message was received at\n", b"(reason: 550 x)\n",
    b"----- The following addresses had permanent\n", b"X-Failed-Recipients: a@b.example\n",
]  # fmt: skip
_LEAVING = _words(
    b"<https://x/>|<mailto:a@b>|, |(|)|<|>|List-Unsubscribe=One-Click|\n|h=list-unsubscribe:|;|--b\r\n|"
    b'Content-Disposition: form-data; name="List-Unsubscribe"\r\n|\r\n|One-Click\r\n|&|AQAA'
)

PARTS: dict[str, list[bytes]] = {
    "delivery_status": _STATUS,
    "unsubscribe": _LEAVING,
    "smtp_server": _CLIENT,
    "login": _words(b"YQ==|AGEAYg==|n,,n=a,r=b|p=tls-exporter,,|c=biws,r=|p=AAAA|\n|=|\x00|a|\xff"),
    "parameters": _PARAMETERS,
    "smtp_client": _SERVER,
    "replies": _SERVER,
    "stuffing": _words(b".|\r\n|\r|\n|..|x"),
    "proxy_header": [
        b"PROXY ",
        b"TCP4 ",
        b"TCP6 ",
        b"UNKNOWN",
        b"192.0.2.7 ",
        b"::1 ",
        b"65535 ",
        b"25\r\n",
        b"\r\n",
        b"\r\n\r\n\0\r\nQUIT\n",
        b"\x21\x11\0\x0c",
        b"\x21\x21\0\x24",
        b"\x20\0\0\0",
        12 * b"\1",
    ],
    "socks": [b"\5\0", b"\5\2", b"\1\0", b"\5\0\0\1", b"\5\0\0\3\4", b"\5\0\0\4", b"\5\5\0\1", 6 * b"\1", 18 * b"\1"],
    "scram_server": _words(b"r=mine|and|,s=c2FsdA==|,i=4096|,i=1|v=|AAAA|e=no|\n|=|\x00|\xff"),
    "pop3": _POP3,
    "imap": _IMAP,
    "imap_words": _words(
        b'1:*|,4|$|INBOX|&U,BTFw-|&-|\xc3\xa9|{2}\r\n|ab|"|\\|17-Jul-1996 02:44:25 -0700|%|*|/|NIL|\x00'
    ),
    "imap_answers": _words(
        b'* |P1 |OK |NO |BYE |[LIMIT] |[CAPABILITY A B] |LIST (|\\Sent) |"/" |NIL |FETCH (|UID 5 |1 |FLAGS (\\Seen) |'
        b'BODY[] |RFC822.SIZE 9|INTERNALDATE "17-Jul-1996 02:44:25 -0700"|{3}\r\n|{30}\r\n|{9999}\r\n|~{2}\r\n|abc|(|)|'
        b'"|\\|+ x|EXISTS|\r\n|\r|\n|\xff|&AOk-'
    ),
    "sieve_script": _SIEVE,
    "sieve_letter": _TEXT,
    "sieve_regex": [*_EXPRESSION, b"|"],
    "managesieve": _MANAGESIEVE,
    "pop3_body": _words(b".|\r\n|\r|\n|..|x"),
    "signatures": _SIGNED,
    "key_record": _SIGNED,
    "policy_records": _POLICIES,
    "authentication_results": _SIGNED,
    "aggregate_report": _REPORT,
    "mime": _MAIL,
    "mail_texts": _MAIL,
    "dns_question": _QUESTION,
    "ldap_answers": _LDAP,
    "ldap_filter": list(_FILTER),
    "sts_policy": _STS,
    "tls_report": _TLS_REPORT,
    "complaint": _COMPLAINT,
    "tlsa_records": _TLSA,
    "certificate": _CERTIFICATE,
    "dns_answer": _ANSWER,
    "link": _FRAME,
    "configuration": _TOML,
    "condition": _CONDITION,
    "units": _UNITS,
    "snapshot": _ARCHIVE,
} | dict.fromkeys(("addresses", "headers", "report", "pop3_surrogate"), _TEXT)
