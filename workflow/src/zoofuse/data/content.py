"""File formats by their first bytes, and advice for files that are not images."""

import re


def content_kind(data: bytes) -> str:
    """Detect a file's format.

    Args:
        data: the file, or its first 512 bytes.

    Returns:
        One of READ, else a noun with its article such as "a Git LFS pointer" or "an AVIF image"; "" if unknown.
    """
    for kind, pattern in _KINDS.items():
        if re.match(pattern, data[:512], re.DOTALL | re.IGNORECASE):
            return kind
    return ""


_KINDS = {
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "WebP": rb"RIFF....WEBP",
    "GIF": rb"GIF8[79]a",
    "BMP": rb"BM.{4}\0\0\0\0|BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    "a Git LFS pointer": rb"version https?://(git-lfs\.github\.com|hawser\.github\.com|git-media\.io)/",
    "an AVIF image": rb"....ftyp(avif|avis)|....ftyp(mif1|msf1).{4,40}avi[fs]",
    "a HEIC image": rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)",
    "a video": rb"....ftyp|....moov|\x1a\x45\xdf\xa3|RIFF....AVI ",
    "a JPEG XL image": rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
    "a JPEG 2000 image": rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
    "a TIFF image (or a camera's raw file)": rb"II[\*\+]\0|MM\0[\*\+]|IIRO|IIU\0|FUJIFILMCCD-RAW",
    "a Photoshop file": rb"8BPS",
    "an icon": rb"\x00\x00[\x01\x02]\x00.\x00.",
    "a PDF": rb"\s*%PDF-",
    "a PostScript file": rb"%!PS",
    "a zip archive": rb"PK(\x03\x04|\x05\x06|\x07\x08)",
    "a tar archive": rb".{257}ustar",
    "a gzip archive": rb"\x1f\x8b",
    "an archive": rb"BZh|\xfd7zXZ\0|7z\xbc\xaf\x27\x1c|Rar!|\x28\xb5\x2f\xfd",
    "an SVG drawing": rb"(\xef\xbb\xbf)?\s*(<\?xml.*?|<!--.*?-->\s*|<!DOCTYPE\s+)*<?svg\b",
    "an HTML page": rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*|<!--.*?-->\s*)*<(!DOCTYPE\s+html|html|head|body|title)\b",
    "XML text": rb"(\xef\xbb\xbf)?\s*<\?xml\b|\s*<[a-z][\w:-]*[\s>].*",
    "JSON text": rb'(\xef\xbb\xbf)?\s*(\{\s*["}]|\[\s*[\[\{"\]\d-])',
    "NumPy or HDF5 data": rb"\x93NUMPY|\x89HDF\r\n",
}
_ADVICE = {
    "a Git LFS pointer": "run `git lfs pull` in the folder of the images",
    **dict.fromkeys(["an HTML page", "XML text", "JSON text"], "probably a failed download; fetch it again"),
    "a video": "save single frames as JPEG or PNG",
    "a PDF": "save its images as JPEG or PNG",
    **dict.fromkeys(["a zip archive", "a tar archive", "a gzip archive", "an archive"], "unpack it"),
}
READ = ("JPEG", "PNG", "WebP", "GIF", "BMP")


def not_an_image(data: bytes) -> str:
    """Why content is not a supported image, and what to do, such as "a zip archive, not the image; unpack it".

    Args:
        data: the file's first bytes.
    """
    if not data:
        return "empty file"
    kind = content_kind(data)
    if not kind:
        return "zeros only; copy it again" if not data.strip(b"\0") else "not a JPEG, PNG, WebP, GIF or BMP inside"
    if kind in _ADVICE:
        return f"{kind}, not the image; {_ADVICE[kind]}"
    return f"{kind}, which is not read; save it as JPEG or PNG"
