"""Reports as providers write them, each with its own ways, and what tests of our own report are made of."""

from engine.authentication.arc import ArcResult
from engine.authentication.dkim import DkimResult
from engine.authentication.dmarc import Dmarc, Policy
from engine.authentication.dmarc_record import select
from engine.authentication.evaluate import Authentication, Client
from engine.authentication.iprev import Iprev
from engine.authentication.outcome import Result
from engine.authentication.spf import Both, Check
from engine.reports.rows import Published, Row

PUBLISHED = Published(
    "example.com", "reject", "quarantine", "none", "s", "r", "1", "n", "treewalk", "mailto:dmarc@example.com"
)
ROW = Row(
    source="192.0.2.1",
    disposition="pass",
    dkim=True,
    spf=False,
    reason="",
    comment="",
    header_from="example.com",
    envelope_from="example.net",
    signatures=(("example.com", "s1", "pass"), ("example.net", "s2", "fail")),
    spf_domain="example.net",
    spf_result="softfail",
)


def found(result: Result = Result.FAIL, **changes: object) -> Authentication:
    """What the checks of a message from example.com may find."""
    record = select([b"v=DMARC1; p=reject; sp=none; adkim=s; rua=mailto:dmarc@example.com!10m"])
    judged = {"policy": Policy.REJECT, "disposition": Policy.REJECT, "domain": "example.com", "record": record}
    sender = Check(Result.SOFTFAIL, "example.net")
    return Authentication(
        Client("::ffff:192.0.2.1", "mx.example.net", "Ada@Example.NET"),
        Both(sender, sender),
        (
            DkimResult(Result.FAIL, domain="example.net", selector="s2"),
            DkimResult(Result.PASS, domain="example.com", selector="s1"),
            DkimResult(Result.PERMERROR, "unreadable"),
        ),
        ArcResult(Result.NONE),
        Dmarc(result, "example.com", **(judged | changes)),  # type: ignore[arg-type]
        Iprev(Result.PASS, "192.0.2.1"),
    )


def report(metadata: str, published: str, *records: str, root: str = "<feedback>", prolog: str = "") -> bytes:
    """An aggregate report out of its parts."""
    inner = "".join(f"<record>{record}</record>" for record in records)
    head = f"<report_metadata>{metadata}</report_metadata><policy_published>{published}</policy_published>"
    return f"{prolog}{root}{head}{inner}</feedback>".encode()


GOOGLE = report(
    "<org_name>google.com</org_name><email>noreply-dmarc-support@google.com</email>"
    "<extra_contact_info>https://support.google.com/a/answer/2466580</extra_contact_info>"
    "<report_id>949348866075514174</report_id><date_range><begin>1700000000</begin><end>1700086399</end></date_range>",
    "<domain>example.com</domain><adkim>r</adkim><aspf>r</aspf><p>none</p><sp>none</sp><pct>100</pct><np>none</np>",
    "<row><source_ip>192.0.2.1</source_ip><count>7</count><policy_evaluated><disposition>none</disposition>"
    "<dkim>pass</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>example.com</header_from>"
    "</identifiers><auth_results><dkim><domain>example.com</domain><result>pass</result><selector>s1</selector></dkim>"
    "<spf><domain>bounce.example.net</domain><result>pass</result></spf></auth_results>",
    "<row><source_ip>2001:db8::9</source_ip><count>2</count><policy_evaluated><disposition>none</disposition>"
    "<dkim>fail</dkim><spf>fail</spf></policy_evaluated></row><identifiers><header_from>example.com</header_from>"
    "</identifiers><auth_results><spf><domain>evil.example</domain><result>none</result></spf></auth_results>",
    prolog='<?xml version="1.0" encoding="UTF-8" ?>\n',
)
MICROSOFT = report(  # namespaces of XML Schema, a version, envelope_to, reasons
    "<org_name>Enterprise Outlook</org_name><email>dmarcreport@microsoft.com</email><report_id>b5a1</report_id>"
    "<date_range><begin>1700000000</begin><end>1700086400</end></date_range>",
    "<domain>Example.COM</domain><adkim>r</adkim><aspf>r</aspf><p>reject</p><sp>reject</sp><pct>100</pct><fo>0</fo>",
    "<row><source_ip>192.0.2.1</source_ip><count>1</count><policy_evaluated><disposition>none</disposition>"
    "<dkim>fail</dkim><spf>fail</spf><reason><type>local_policy</type><comment>arc=pass\n as[1].d=example.org</comment>"
    "</reason><reason><type></type><comment/></reason></policy_evaluated></row><identifiers>"
    "<envelope_to>example.org</envelope_to><envelope_from>example.com</envelope_from>"
    "<header_from>example.com</header_from></identifiers><auth_results><dkim><domain></domain><result>none</result>"
    "</dkim><spf><domain>example.com</domain><scope>mfrom</scope><result>Fail</result></spf></auth_results>",
    root='<feedback xmlns:xsd="http://www.w3.org/2001/XMLSchema" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><version>1.0</version>',
    prolog='<?xml version="1.0"?>\r\n',
)
RFC_9990 = report(
    "<org_name>Sample Reporter</org_name><email>a@example-reporter.com</email><report_id>3v98</report_id>"
    "<date_range><begin>302832000</begin><end>302918399</end></date_range><error lang='en'>Two records.</error>"
    "<generator>Reporter v1.2</generator>",
    "<domain>example.com</domain><p>quarantine</p><np>none</np><testing>y</testing>"
    "<discovery_method>treewalk</discovery_method>",
    "<row><source_ip>192.0.2.123</source_ip><count>123</count><policy_evaluated><disposition>pass</disposition>"
    "<dkim>pass</dkim><spf>fail</spf></policy_evaluated></row><identifiers><envelope_from/>"
    "<header_from>example.com</header_from></identifiers><auth_results><dkim><domain>example.com</domain>"
    "<result>pass</result><selector>abc123</selector></dkim></auth_results><ext:x>1</ext:x>",
    root='<feedback xmlns="urn:ietf:params:xml:ns:dmarc-2.0" xmlns:ext="https://ext.example/">',
)
STRAY_SCHEMA = report(  # a schema that begins and never ends, and times with a fraction
    "<org_name>old.example</org_name><email>x@old.example</email><report_id>1</report_id>"
    "<date_range><begin>1700000000.0</begin><end>1700086399.5</end></date_range>",
    "<domain>example.com</domain><p>none</p>",
    "<row><source_ip>192.0.2.5</source_ip><count>1</count><policy_evaluated><disposition>none</disposition>"
    "<dkim>pass</dkim><spf>pass</spf></policy_evaluated></row><identifiers><header_from>example.com</header_from>"
    "</identifiers>",
    prolog='\r\n<?xml version="1.0" encoding="UTF-8"?>\n<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" '
    'targetNamespace="http://dmarc.org/dmarc-xml/0.1">\n',
)
LATIN = report(
    "<org_name>Caf\N{LATIN SMALL LETTER E WITH ACUTE}</org_name><email>x@cafe.example</email><report_id>1</report_id>"
    "<date_range><begin>1</begin><end>2</end></date_range>",
    "<domain>example.com</domain><p>none</p>",
)
PROVIDERS = {
    "google": GOOGLE,
    "microsoft": MICROSOFT,
    "RFC 9990": RFC_9990,
    "a stray schema": STRAY_SCHEMA,
    "latin-1 that says so": b'<?xml version="1.0" encoding="ISO-8859-1"?>' + LATIN.decode().encode("latin-1"),
    "latin-1 that says UTF-8": b'<?xml version="1.0" encoding="UTF-8"?>' + LATIN.decode().encode("latin-1"),
    "UTF-8 with a mark": b"\xef\xbb\xbf" + LATIN,
    "UTF-16": LATIN.decode().encode("utf-16"),
}
