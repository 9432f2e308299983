"""Names of folders, groups and concepts that mean something to HTML, JavaScript, Plotly, a template or a terminal."""

CALL = "hacked()"  # what a name tries to call
NAMES = [
    f"<img src=x onerror={CALL}>&amp;",
    f"&lt;img src=x onerror={CALL}&gt;",
    f"&amp;lt;img src=x onerror={CALL}&amp;gt;",
    f"</script><script>{CALL}</script>",
    f"<!--<script>{CALL}",
    f'" onmouseover={CALL} x="',
    f"' autofocus onfocus={CALL} '",
    f"<svg/onload={CALL}>",
    f"</option></select><iframe srcdoc='<script>parent.{CALL}</script>'>",
    f"</title></style><style>body {{ display: none }}</style><script>{CALL}</script>",
    f"{{{{ {CALL} }}}} {{% raw %}}",
    f"${{{CALL}}} `${{{CALL}}}`",
    f"javascript:{CALL}",
    f'<a href="javascript:{CALL}">a link</a> <b>bold</b>',
    "%{customdata} $x_{$ $\\frac{1}{0}$",
    f"line\u2028{CALL}\u2029end",
    f"two\nlines\r\n{CALL}",
    "\x00\x1b[2J\x07\x7f",
    "\u202egnp.exe\u202c \u2066x\u2069",
    "=cmd|' /C calc'!A0",
    "_hidden",
    "NA",
    "café 猫 🐈‍⬛ \udcff",
    "long " + "ab" * 2000,
]
