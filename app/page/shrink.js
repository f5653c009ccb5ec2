// Large photographs, made smaller before they are sent. The rule of the Python client: more than
// 512 KiB and more than 1024 pixels on the longer side becomes 1024 pixels, upright, in sRGB, as
// JPEG of quality 90, or PNG where it has transparency. All else is sent as it is.

const LARGE_BYTES = 512 * 1024;
const LONGEST_SIDE = 1024;
const QUALITY = 0.9;

/** The blob to send in place of a picture's own. What cannot be decoded here is sent as it is. */
export async function shrunk(blob) {
  if (blob.size <= LARGE_BYTES) return blob;
  let whole;
  try {
    whole = await createImageBitmap(blob, { imageOrientation: "from-image" });
  } catch {
    return blob;
  }
  try {
    const longer = Math.max(whole.width, whole.height);
    return longer <= LONGEST_SIDE ? blob : await scaled(whole, LONGEST_SIDE / longer);
  } finally {
    whole.close();
  }
}

async function scaled(whole, scale) {
  const [width, height] = [whole.width, whole.height].map((side) => Math.max(1, Math.round(side * scale)));
  const small = await createImageBitmap(whole, { resizeWidth: width, resizeHeight: height, resizeQuality: "high" });
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { colorSpace: "srgb" });
  context.drawImage(small, 0, 0);
  small.close();
  const type = isTransparent(context.getImageData(0, 0, width, height).data) ? "image/png" : "image/jpeg";
  return canvas.convertToBlob({ type, quality: QUALITY });
}

function isTransparent(pixels) {
  for (let place = 3; place < pixels.length; place += 4) if (pixels[place] < 255) return true;
  return false;
}
