"""Scripts and what they want done: examples of the RFCs, and tables of what fits what. Dovecot is to want the same."""

from tests.sieve.trying import LETTER, Case

KEEP, FOUND = ["keep"], ["discard"]


def letter(*fields: str, body: str = "") -> bytes:
    return ("".join(f"{field}\r\n" for field in fields) + "\r\n" + body).encode()


def case(name: str, script: str, *wanted: str, letter: bytes = LETTER, elsewhere: bool = True, **world: object) -> Case:
    return Case(name, script, list(wanted), letter, world, elsewhere)


EXAMPLES = [
    case("empty", "", "keep"),
    case("5228 2.10.2", 'require "fileinto"; if true { fileinto "a"; stop; } fileinto "b";', "fileinto a"),
    case("5228 3.1", """
        require "fileinto";
        if header :contains "from" "coyote" { discard; }
        elsif header :contains ["subject"] ["$$$"] { discard; }
        else { fileinto "INBOX"; }""", "discard"),
    case("5228 3.1 elsif", """
        require ["fileinto"];
        if header :contains "From" "nobody" { discard; }
        elsif header :contains ["Subject"] ["present"] { redirect "postmaster@example.com"; }
        else { redirect "acm@example.com"; }""", "redirect postmaster@example.com"),
    case("5228 4.3", 'if size :under 500K { keep; } else { discard; }', "keep"),
    case("5228 4.4", """
        if header :contains ["from"] ["idiot@example.com", "desert.example.org"] { discard; }""", "discard"),
    case("5228 5.1", 'if address :is :all "from" "coyote@desert.example.org" { discard; }', "discard"),
    case("5228 5.4", """
        require "envelope";
        if envelope :all :is "from" "coyote@desert.example.org" { discard; }""", "discard"),
    case("5228 5.5", 'if not exists ["From","Date"] { discard; }', "keep"),
    case("5228 5.7", 'if header :is ["Subject"] [""] { discard; }', "keep"),
    case("5228 2.7.1 empty header", 'if header :is ["X-Empty"] [""] { discard; }', "discard"),
    case("5228 2.7.1 empty key", 'if header :contains ["X-Priority"] [""] { discard; }', "discard"),
    case("5228 2.7.1 none", 'if header :contains ["X-None"] [""] { discard; }', "keep"),
    case("5228 9", """
        # Example Sieve Filter
        # Declare any optional features or extension used by the script
        require ["fileinto"];
        # Handle messages from known mailing lists
        if header :is "Sender" "owner-ietf-mta-filters@imc.org" { fileinto "filter"; }
        # Keep all messages to or from people in my company
        elsif address :DOMAIN :is ["From", "To"] "acme.example.com" { keep; }
        # Try and catch unsolicited email.
        elsif anyof (NOT address :all :contains ["To", "Cc", "Bcc"] "me@example.com",
                     header :matches "subject" ["*make*money*fast*", "*university*dipl*mas*"])
        { fileinto "spam"; }
        else { fileinto "personal"; }""", "keep"),
    case("5228 2.4.2.4", """
        require "encoded-character";
        if header :contains "X-Encoded" "Gr${unicode:FC}${hex:c3 9f}e" { discard; }""", "discard"),
    case("5228 2.4.2.4 verbatim", """
        require ["encoded-character", "fileinto"];
        fileinto "${hex:}${hex:zz}${hexa:24}$${hex:40}${unicode:20AC  40}";""",
        "fileinto ${hex:}${hex:zz}${hexa:24}$@€@"),
    case("3894", 'require ["copy", "fileinto"]; redirect :copy "a@example.org"; fileinto :copy "b";',
         "redirect a@example.org", "fileinto b", "keep"),
    case("twice into one folder", 'require "fileinto"; fileinto "a"; fileinto "a"; keep; fileinto "INBOX";',
         "fileinto a", "keep"),
    case("twice into one folder, edited between", """
        require ["fileinto", "editheader"]; keep; addheader "X" "y"; fileinto "INBOX"; fileinto "a"; keep;""",
         "keep", "fileinto a"),
    case("discard beside", 'require "fileinto"; fileinto "a"; discard;', "fileinto a", "discard"),
    case("5232 4", """
        require ["fileinto", "imap4flags", "variables"];
        if size :over 1 { addflag "MyFlags" "\\\\Flagged"; addflag "MyFlags" "\\\\Answered custom"; }
        if not hasflag :contains "MyFlags" "Junk" { fileinto :flags "${MyFlags}" "a"; }""",
         "fileinto a \\Flagged \\Answered custom"),
    case("5232 internal", """
        require ["imap4flags", "fileinto"];
        setflag "\\\\seen"; addflag ["\\\\Deleted", "\\\\SEEN x"]; removeflag "\\\\deleted"; fileinto "a";
        setflag "y"; keep;""", "fileinto a \\Seen x", "keep y"),
    case("5232 implicit", 'require "imap4flags"; if true { setflag ["\\\\Flagged"]; }', "keep \\Flagged"),
    case("5232 empty", 'require "imap4flags"; setflag "\\\\Flagged"; setflag ""; ', "keep"),
    case("5232 count", """
        require ["imap4flags", "relational", "comparator-i;ascii-numeric"];
        setflag ["a b", "c"];
        if hasflag :count "eq" :comparator "i;ascii-numeric" "3" { discard; }""", "discard"),
    case("5231 count", """
        require ["relational", "comparator-i;ascii-numeric"];
        if address :count "ge" :comparator "i;ascii-numeric" ["to", "cc"] ["3"] { discard; }""", "discard"),
    case("5231 count of headers", """
        require ["relational", "comparator-i;ascii-numeric"];
        if header :count "eq" :comparator "i;ascii-numeric" ["received", "x-none"] "2" { discard; }""", "discard"),
    case("5231 value", """
        require ["relational", "comparator-i;ascii-numeric"];
        if header :value "lt" :comparator "i;ascii-numeric" ["x-numbers"] ["111"] { discard; }""", "discard"),
    case("5231 value as text", """
        require ["relational"]; if header :value "lt" ["x-numbers"] ["111"] { discard; }""", "keep"),
    case("5233", """
        require ["envelope", "subaddress", "fileinto"];
        if envelope :detail :is "to" "fast" { fileinto "detail"; }
        if envelope :user "to" "roadrunner" { fileinto "user"; }
        if address :detail "to" "zoom" { fileinto "second"; }
        if address :detail :matches "cc" "*" { fileinto "none"; }""",
         "fileinto detail", "fileinto user", "fileinto second"),
    case("5229 3", """
        require ["variables", "fileinto"];
        set "company" "ACME"; set "a" "x"; set "name" "&%${}!";
        fileinto "${&%${}!${doesntexist}${company}${full-name}${A}";""",
         "fileinto ${&%${}!ACME${full-name}x"),
    case("5229 3.2", """
        require ["fileinto", "variables"];
        if header :matches "subject" "[*] *" { fileinto "lists.${1}"; set "subject" "${2}"; }
        if string :is "${subject}" "I have a present for you" { fileinto "string"; }""",
         "fileinto lists.acme-users", "fileinto string"),
    case("5229 5 comparator", 'require "variables"; if string "aBc" "AbC" { discard; }', "discard", elsewhere=False),
    case("5229 3.2 address", """
        require ["fileinto", "variables"];
        if address :matches ["To", "Cc"] ["coyote@**.com", "roadrunner@*.example.com"] { fileinto "${1}${0}"; }""",
         "fileinto acmeroadrunner@acme.example.com"),
    case("5229 4 modifiers", """
        require ["variables", "fileinto"];
        set "a" "juMBlEd lETteRS"; set :length "b" "${a}"; set :lower "c" "${a}"; set :upperfirst "d" "${a}";
        set :lower :upperfirst "e" "${a}"; set :quotewildcard "f" "Rock*"; set :upper :lowerfirst "g" "${a}";
        fileinto "${b}|${c}|${d}|${e}|${f}|${g}";""",
         "fileinto 15|jumbled letters|JuMBlEd lETteRS|Jumbled letters|Rock\\*|jUMBLED LETTERS"),
    case("5229 lasting match", """
        require ["variables", "fileinto"];
        if header :matches "x-priority" "*" { set "p" "${1}"; }
        if header :matches "subject" "nothing like *" { stop; }
        fileinto "${p}${1}";""", "fileinto 33"),
    case("5173 raw", 'require "body"; if body :raw :contains "multipart" { discard; }', "keep"),
    case("5173 raw is raw", 'require "body"; if body :raw :contains "Gr=C3=BC" { discard; }', "discard"),
    case("5173 content", 'require "body"; if body :content "application" :contains "Anvil by" { discard; }', "discard"),
    case("5173 content type", 'require "body"; if body :content "text/html" :contains "anvil" { discard; }', "keep"),
    case("5173 text", 'require "body"; if body :text :contains "Grüße" { discard; }', "discard"),
    case("5173 text of html", 'require "body"; if body :contains "free birdseed & more" { discard; }', "discard",
         elsewhere=False),
    case("5173 text that is not seen", 'require "body"; if body :contains "color: red" { discard; }', "keep",
         elsewhere=False),
    case("5173 prologue", 'require "body"; if body :content "multipart" :contains "preamble words" { discard; }',
         "discard", elsewhere=False),
    case("5173 message", 'require "body"; if body :content "message/rfc822" :contains "inner body" { discard; }',
         "keep", elsewhere=False),
    case("5173 message header", 'require "body"; if body :content "message" :contains "inner subject" { discard; }',
         "discard", elsewhere=False),
    case("5173 no match variables", """
        require ["body", "variables", "fileinto"];
        if header :matches "x-priority" "*" {} if body :raw :matches "*anvil*" { fileinto "${1}"; }""", "fileinto 3"),
    case("5260 date", """
        require ["date", "relational", "fileinto"];
        if allof(date :value "ge" :originalzone "date" "hour" "09", date :value "lt" :originalzone "date" "hour" "24")
        { fileinto "late"; }
        if date :is :zone "+0000" "date" "date" "2024-01-02" { fileinto "utc"; }
        if date :is :originalzone "date" "date" "2024-01-01" { fileinto "original"; }""",
         "fileinto late", "fileinto utc", "fileinto original"),
    case("5260 index", """
        require ["index", "date", "fileinto", "subaddress"];
        if date :is :index 2 :zone "+0000" "received" "time" "10:00:00" { fileinto "second"; }
        if header :index 1 :last :contains "received" "from a." { fileinto "last"; }
        if header :index 3 :contains "received" "" { fileinto "none"; }""", "fileinto second", "fileinto last"),
    case("5260 Sunday", 'require "date"; if date :originalzone "date" "weekday" "0" { discard; }', "discard",
         letter=letter("Date: Sun, 7 Jan 2024 12:00:00 +0000")),
    case("5260 parts", """
        require ["date", "fileinto", "variables"];
        if date :matches :originalzone "date" "julian" "*" { set "a" "${1}"; }
        if date :matches :originalzone "date" "iso8601" "*" { set "b" "${1}"; }
        if date :matches :originalzone "date" "weekday" "*" { set "c" "${1}"; }
        if date :matches :originalzone "date" "zone" "*" { set "d" "${1}"; }
        if date :matches :originalzone "date" "std11" "*" { set "e" "${1}"; }
        fileinto "${a}|${b}|${c}|${d}|${e}";""",
         "fileinto 60310|2024-01-01T23:30:00-05:00|1|-0500|Mon, 01 Jan 2024 23:30:00 -0500"),
    case("5490", """
        require ["fileinto", "mailbox"];
        if mailboxexists "Partners" { fileinto "Partners"; } else { fileinto :create "New"; }""", "fileinto New"),
    case("5429", 'require "reject"; if size :over 1 { reject "I am not taking mail"; }', "reject I am not taking mail"),
    case("5429 beside keep", 'require ["reject", "fileinto"]; fileinto "a"; reject "no";', "error"),
    case("5429 twice", 'require ["reject"]; reject "no"; reject "never";', "error"),
    case("5230", 'require "vacation"; vacation :days 7 :subject "away" "I am away";', "reply coyote@desert.example.org",
         "keep"),
    case("5230 beside reject", 'require ["vacation", "reject"]; vacation "x"; reject "no";', "error"),
    case("5230 twice", 'require "vacation"; vacation "x"; vacation "y";', "error"),
    case("5463", 'require ["ihave", "fileinto"]; if ihave "vnd.nobody.has" { frobnicate "x"; } else { fileinto "a"; }',
         "fileinto a"),
    case("5463 true", 'require "ihave"; if ihave ["fileinto", "copy"] { fileinto :copy "a"; }', "fileinto a", "keep"),
    case("5463 error", 'require "ihave"; error "something is missing";', "error"),
    case("regex", """
        require ["regex", "variables", "fileinto"];
        if header :regex "subject"
            "^\\\\[([[:alpha:]]+)-users\\\\] (I|you) (have|had)" { fileinto "${1}.${2}.${3}"; }""",
         "fileinto acme.I.have"),
    case("regex, longest", 'require ["regex", "variables", "fileinto"]; if header :regex "x-numbers" "1|12" '
         '{ fileinto "${0}"; }', "fileinto 12"),
    case("7352", 'require "duplicate"; if duplicate { discard; }', "keep"),
    case("5435", 'require "enotify"; notify :message "hi" "mailto:ann@example.org";', "notify ann@example.org", "keep",
         elsewhere=False),
    case("5435 method", """
        require "enotify"; if not valid_notify_method ["mailto:ann@example.org", "https://x"] { discard; }""",
         "discard", elsewhere=False),
    case("5235", """
        require ["spamtest", "relational", "comparator-i;ascii-numeric"];
        if spamtest :value "ge" :comparator "i;ascii-numeric" "8" { discard; }""",
         "discard", spam=90.0, elsewhere=False),
    case("5235 plus", """
        require ["spamtestplus", "relational", "comparator-i;ascii-numeric"];
        if spamtest :value "eq" :percent :comparator "i;ascii-numeric" "37" { discard; }""", "discard", spam=37.0,
         elsewhere=False),
    case("5235 not looked at", 'require "spamtest"; if spamtest "0" { discard; }', "discard", elsewhere=False),
    case("5235 virus", 'require "virustest"; if virustest "5" { discard; }', "discard", virus=5, elsewhere=False),
    case("8579", """
        require ["special-use", "fileinto"];
        if specialuse_exists "\\\\Junk" { fileinto :specialuse "\\\\Junk" "Spam"; }
        if specialuse_exists "Other" "\\\\Junk" { discard; }""", "fileinto Spam", uses={"\\junk": "Spam"},
         elsewhere=False),
    case("9042", """
        require ["mailboxid", "fileinto"];
        if mailboxidexists "F6352ae03-b7f5" { fileinto :mailboxid "F6352ae03-b7f5" "a"; }""",
         "fileinto a", folders=frozenset({"F6352ae03-b7f5"}), elsewhere=False),
    case("5183", 'require ["environment"]; if environment :matches "remote-host" "*.example.org" { discard; }',
         "discard", items={"remote-host": "mx.example.org"}, elsewhere=False),
    case("5183 none", 'require ["environment"]; if environment :contains "vnd.x" "" { discard; }', "keep"),
]  # fmt: skip

_SUBJECT = letter("From: a@b.test", "Subject: Frop *and* frml\\x")


def fits(test: str, *, yes: bool, fields: bytes = _SUBJECT, needs: str = "", elsewhere: bool = True) -> Case:
    return case(test, f"{needs}if {test} {{ discard; }}", *(FOUND if yes else KEEP), letter=fields, elsewhere=elsewhere)


_NUMERIC = 'require ["relational", "comparator-i;ascii-numeric"]; '
_ADDRESSES = letter(
    "From: =?utf-8?q?J=C3=BCrg?= <Joe.User+List@Sub.Example.org>",
    'To: undisclosed-recipients:;, "quoted local"@example.net, Group: a@one.test, b@two.test;',
    "Cc: not an address",
)

FITTING = [
    fits(f'header {how} "subject" "{key}"', yes=yes)
    for how, key, yes in [
        (":is", "frop *AND* frml\\\\x", True),
        (":is", "frop", False),
        (":is", "", False),
        (":contains", "AND", True),
        (":contains", "*a", True),
        (":contains", "", True),
        (':comparator "i;octet" :contains', "AND", False),
        (':comparator "i;octet" :contains', "and", True),
        (':comparator "i;octet" :is', "frop *and* frml\\\\x", False),
        (":matches", "*", True),
        (":matches", "frop*", True),
        (":matches", "*frml", False),
        (":matches", "*frml?x", True),
        (":matches", "????", False),
        (":matches", "f?op ?and? *", True),
        (":matches", "f?op \\\\*and\\\\* *", True),
        (":matches", "*\\\\\\\\x", True),
        (":matches", "*fr*fr*", True),
        (":matches", "*fr*fr*fr*", False),
        (":matches", "**", True),
        (":matches", "Frop *and* frml??", True),
        (":matches", "", False),
        (':comparator "i;octet" :matches', "frop*", False),
        (':comparator "i;octet" :matches', "Frop*", True),
    ]
] + [
    fits(f'header :value "{how}" :comparator "i;ascii-numeric" "x" "{key}" # {value}\n', yes=yes, needs=_NUMERIC,
         fields=letter(f"X: {value}"))
    for value, how, key, yes in [
        ("10", "gt", "9", True), ("10", "lt", "9", False), ("010", "eq", "10", True), ("10x", "eq", "10", True),
        ("x", "gt", "99999999999", True), ("x", "eq", "y", True), ("x", "ne", "1", True), ("", "ge", "5", True),
        ("-1", "gt", "5", True), ("5", "le", "5", True),
    ]
] + [
    fits(test, yes=yes, fields=_ADDRESSES, needs='require "subaddress"; ' if "user" in test or "detail" in test else "")
    for test, yes in [
        ('address :is "from" "joe.user+list@sub.example.org"', True),
        ('address :localpart "from" "joe.user+list"', True),
        ('address :domain "from" "sub.example.ORG"', True),
        ('address :user "from" "joe.user"', True),
        ('address :detail "from" "list"', True),
        ('address :contains "from" "Jürg"', False),
        ('header :contains "from" "Jürg"', True),
        ('address :domain "to" "two.test"', True),
        ('address "to" "a@one.test"', True),
        ('address :comparator "i;octet" :domain "from" "sub.example.org"', False),
        ('exists ["from", "to", "cc"]', True),
        ('exists ["from", "bcc"]', False),
        ('not allof(true, anyof(false, not true))', True),
    ]
] + [
    fits('address :contains "cc" "address"', yes=False, fields=_ADDRESSES, elsewhere=False),
    fits('header :matches "subject" "f?op \\\\?and* *"', yes=False, elsewhere=False),
] + [
    fits(f'string :comparator "i;unicode-casemap" "ÄÖ" "{key}"', yes=yes, elsewhere=False,
         needs='require ["variables", "comparator-i;unicode-casemap"]; ')
    for key, yes in [("äö", True), ("ao", False)]
] + [
    fits(f'envelope {part} "from" "{key}"', yes=yes, needs='require ["envelope"]; ', elsewhere=False)
    for part, key, yes in [(":all", "coyote@desert.example.org", True), (":domain", "example.org", False)]
]  # fmt: skip

CASES = EXAMPLES + FITTING
