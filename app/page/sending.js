// Pictures as the server takes them in JSON, and the division of calls that are too large for it.

import { shrunk } from "./shrink.js";

const FREE_BYTES = 4096; // of a body, for what is not images
const SMALLEST_LIMITS = { max_body_bytes: 33554432, max_support_images: 1000, max_query_images: 1000 };

/** A blob as a data URL. */
export function dataUrl(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

/** Pictures with the blobs that are sent of them; each is shrunk once. */
export async function outgoing(pictures, { shrink }) {
  const blobs = [];
  for (const picture of pictures) {
    if (shrink) picture.small ??= await shrunk(picture.blob);
    blobs.push(shrink ? picture.small : picture.blob);
  }
  return blobs;
}

/**
 * Divide items into calls that the server takes, in their order. Each item has `bytes`; the first
 * call holds the first item of every label, where items have labels, so that it has all classes.
 */
export function divided(items, mostImages, limits) {
  const most = { ...SMALLEST_LIMITS, ...limits };
  const calls = [];
  let [call, bytes] = [[], 0];
  for (const item of inOrder(items, most.max_body_bytes - FREE_BYTES, most[mostImages])) {
    const size = encodedBytes(item);
    if (call.length > 0 && (call.length >= most[mostImages] || bytes + size > most.max_body_bytes - FREE_BYTES)) {
      calls.push(call);
      [call, bytes] = [[], 0];
    }
    call.push(item);
    bytes += size;
  }
  if (call.length > 0) calls.push(call);
  return calls;
}

function inOrder(items, mostBytes, most) {
  const total = items.reduce((sum, item) => sum + encodedBytes(item), 0);
  if (items[0]?.label === undefined || (items.length <= most && total <= mostBytes)) return items;
  const labels = new Set();
  const firsts = items.filter(({ label }) => !labels.has(label) && labels.add(label));
  const chosen = new Set(firsts);
  return [...firsts, ...items.filter((item) => !chosen.has(item))];
}

function encodedBytes({ blob, label }) {
  return Math.ceil(blob.size / 3) * 4 + 200 + 6 * (label ?? "").length;
}
