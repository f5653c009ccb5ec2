// Pictures as a zip archive, stored as they are: images do not get smaller by packing.

import { crc32 } from "./crc32.js";

const UTF_8 = 0x800;
const DAY = 0x21; // the first of January 1980, the earliest that an archive can tell

/** An archive of files, each a path and a blob. */
export async function archiveOf(files) {
  const parts = [];
  const directory = [];
  let at = 0;
  for (const { path, blob } of files) {
    const name = new TextEncoder().encode(path);
    const bytes = new Uint8Array(await blob.arrayBuffer());
    const facts = [20, UTF_8, 0, 0, DAY];
    const sizes = [crc32(bytes), bytes.length, bytes.length];
    const local = record(0x04034b50, facts, sizes, [name.length, 0]);
    parts.push(local, name, bytes);
    directory.push(record(0x02014b50, [20, ...facts], sizes, [name.length, 0, 0, 0, 0], [0, at]), name);
    at += local.length + name.length + bytes.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = record(0x06054b50, [0, 0, files.length, files.length], [size, at], [0]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

/** A record: its signature, then lists of two-byte and four-byte numbers in turn. */
function record(signature, ...lists) {
  const width = (index) => (index % 2 === 0 ? 2 : 4);
  const length = lists.reduce((sum, list, index) => sum + list.length * width(index), 4);
  const bytes = new DataView(new ArrayBuffer(length));
  bytes.setUint32(0, signature, true);
  let place = 4;
  lists.forEach((list, index) => {
    for (const value of list) {
      if (width(index) === 2) bytes.setUint16(place, value, true);
      else bytes.setUint32(place, value, true);
      place += width(index);
    }
  });
  return new Uint8Array(bytes.buffer);
}
