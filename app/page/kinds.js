// What a file is, by how its bytes begin; never by its name. The rule of the Python client.

export const HEAD_BYTES = 512;

const JPEG = "save it as JPEG";
const PNG = "save it as PNG";
const HEIC_ADVICE = "save it as JPEG (on an iPhone: Settings, Camera, Formats, Most Compatible)";
const BRANDS = new Map([
  ...["heic", "heix", "hevc", "hevx", "heim", "heis", "mif1", "msf1"].map((brand) => [brand, ["HEIC", HEIC_ADVICE]]),
  ["avif", ["AVIF", JPEG]],
  ["avis", ["AVIF", JPEG]],
  ["crx ", ["raw photograph", JPEG]],
]);
const BEGINNINGS = [
  ["II*\0", "TIFF", PNG],
  ["MM\0*", "TIFF", PNG],
  ["\xff\x0a", "JPEG XL", JPEG],
  ["\0\0\0\x0cJXL ", "JPEG XL", JPEG],
  ["\0\0\0\x0cjP  ", "JPEG 2000", JPEG],
  ["\0\0\x01\0", "icon", PNG],
  ["8BPS", "Photoshop document", PNG],
  ["%PDF-", "PDF", "save its pages as PNG"],
  ["PK\x03\x04", "archive", "drop the zip by itself"],
  ["Rar!", "archive", "pack it as zip"],
  ["7z\xbc\xaf", "archive", "pack it as zip"],
  ["\x1f\x8b", "archive", "pack it as zip"],
  ["\x1aE\xdf\xa3", "video", "save pictures of it"],
];
const BMP_HEADERS = new Set([12, 40, 52, 56, 64, 108, 124]);

/** The first bytes of a blob, a character each. */
export async function headOf(blob) {
  const bytes = new Uint8Array(await blob.slice(0, HEAD_BYTES).arrayBuffer());
  return String.fromCharCode(...bytes);
}

/** Whether a file that begins so is PNG, JPEG, WEBP, GIF or BMP, damaged or not. */
export function isImage(head) {
  return (
    ["\x89PNG", "\xff\xd8\xff", "GIF87a", "GIF89a"].some((beginning) => head.startsWith(beginning)) ||
    (head.startsWith("RIFF") && head.slice(8, 12) === "WEBP") ||
    (head.startsWith("BM") && BMP_HEADERS.has(head.charCodeAt(14) + 256 * head.charCodeAt(15)))
  );
}

export function isZip(head) {
  return head.startsWith("PK\x03\x04") || head.startsWith("PK\x05\x06");
}

/** What a file that begins so is, where it is not an image: its kind, and what can be done. */
export function kindOf(head) {
  if (head === "") return ["empty", ""];
  for (const [beginning, kind, advice] of BEGINNINGS) if (head.startsWith(beginning)) return [kind, advice];
  if (head.slice(4, 8) === "ftyp") return BRANDS.get(head.slice(8, 12)) ?? ["video", "save pictures of it"];
  if (head.startsWith("RIFF") && head.slice(8, 12) === "AVI ") return ["video", "save pictures of it"];
  // eslint-disable-next-line no-control-regex
  if (/[\0-\x08\x0e-\x1f]/.test(head)) return ["not an image", ""];
  const text = head.trimStart().toLowerCase();
  if (text.startsWith("<svg") || (/^<(\?xml|!)/.test(text) && text.includes("<svg"))) return ["SVG", PNG];
  return /^(<!doctype html|<html)/.test(text) ? ["web page", "save the image itself"] : ["text", ""];
}
