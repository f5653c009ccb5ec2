// Zip archives, read in the browser within bounds. Nothing is unpacked before its size is known,
// and nothing beyond it.

import { crc32 } from "./crc32.js";

const END = 0x06054b50;
const ENTRY = 0x02014b50;
const END_BYTES = 22;
const ENTRY_BYTES = 46;
const LOCAL_BYTES = 30;
const MOST_COMMENT = 65535;
const MOST_FILES = 10_000;
const MOST_FILE_BYTES = 32 * 2 ** 20;
const MOST_BYTES = 512 * 2 ** 20;
const ENCRYPTED = 1;
const STORED = 0;
const DEFLATED = 8;

/** An archive that is not read, in words. */
export class BadArchive extends Error {}

/** The files of an archive: each a path and a function that reads it. Throws BadArchive. */
export async function filesOf(archive) {
  const { at, size, files } = await endOf(archive);
  if (files > MOST_FILES) throw new BadArchive(`expected at most ${MOST_FILES} files, got ${files}`);
  const entries = directory(await view(archive, at, at + size), files);
  const total = entries.reduce((sum, entry) => sum + entry.size, 0);
  if (total > MOST_BYTES) throw new BadArchive(`it unpacks to ${megabytes(total)}, more than ${megabytes(MOST_BYTES)}`);
  return entries.map((entry) => ({ path: entry.path, read: () => unpacked(archive, entry) }));
}

async function endOf(archive) {
  const start = Math.max(0, archive.size - END_BYTES - MOST_COMMENT);
  const tail = await view(archive, start, archive.size);
  for (let place = tail.byteLength - END_BYTES; place >= 0; place -= 1) {
    if (tail.getUint32(place, true) !== END) continue;
    const [files, size, at] = [tail.getUint16(place + 10, true), tail.getUint32(place + 12, true), tail.getUint32(place + 16, true)];
    if (files === 0xffff || at === 0xffffffff) throw new BadArchive("it is of the large kind (zip64), which is not read here; drop the folder");
    if (at + size <= start + place) return { at, size, files };
  }
  throw new BadArchive("it is damaged, or was not copied to its end");
}

function directory(bytes, count) {
  const entries = [];
  const seen = new Set();
  for (let place = 0; entries.length < count; ) {
    if (place + ENTRY_BYTES > bytes.byteLength || bytes.getUint32(place, true) !== ENTRY) throw new BadArchive("it is damaged");
    const flags = bytes.getUint16(place + 8, true);
    const lengths = [28, 30, 32].map((offset) => bytes.getUint16(place + offset, true));
    const path = nameOf(new Uint8Array(bytes.buffer, bytes.byteOffset + place + ENTRY_BYTES, lengths[0]));
    if (flags & ENCRYPTED) throw new BadArchive(`expected an archive without a password, “${path}” has one`);
    if (seen.has(path)) throw new BadArchive(`expected each path once, got “${path}” twice`);
    seen.add(path);
    entries.push({
      path,
      method: bytes.getUint16(place + 10, true),
      crc: bytes.getUint32(place + 16, true),
      packed: bytes.getUint32(place + 20, true),
      size: bytes.getUint32(place + 24, true),
      at: bytes.getUint32(place + 42, true),
    });
    place += ENTRY_BYTES + lengths[0] + lengths[1] + lengths[2];
  }
  return entries.filter((entry) => !entry.path.endsWith("/"));
}

function nameOf(bytes) {
  let name;
  try {
    name = new TextDecoder("utf-8", { fatal: true }).decode(bytes).replaceAll("\\", "/");
  } catch {
    throw new BadArchive("expected names in UTF-8; pack it anew by a program that writes UTF-8, or drop the folder");
  }
  if (name.startsWith("/") || /^[A-Za-z]:/.test(name) || name.includes("\0") || name.split("/").includes(".."))
    throw new BadArchive(`expected paths inside the archive, got “${name}”`);
  return name;
}

async function unpacked(archive, entry) {
  if (entry.size > MOST_FILE_BYTES) throw new BadArchive(`“${entry.path}” has more than ${megabytes(MOST_FILE_BYTES)}`);
  const local = await view(archive, entry.at, entry.at + LOCAL_BYTES);
  if (local.byteLength < LOCAL_BYTES) throw new BadArchive("it is damaged");
  const start = entry.at + LOCAL_BYTES + local.getUint16(26, true) + local.getUint16(28, true);
  const packed = archive.slice(start, start + entry.packed);
  if (entry.method !== STORED && entry.method !== DEFLATED)
    throw new BadArchive(`“${entry.path}” is packed by a method that is not read; pack the archive by deflation`);
  const stream = entry.method === STORED ? packed.stream() : packed.stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const bytes = await bounded(stream, entry);
  if (bytes.byteLength !== entry.size || crc32(bytes) !== entry.crc) throw new BadArchive(`“${entry.path}” is damaged`);
  return new Blob([bytes]);
}

async function bounded(stream, entry) {
  const bytes = new Uint8Array(entry.size);
  let filled = 0;
  const reader = stream.getReader();
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      if (filled + part.value.byteLength > entry.size) throw new BadArchive(`“${entry.path}” is larger than the archive says`);
      bytes.set(part.value, filled);
      filled += part.value.byteLength;
    }
  } catch (error) {
    await reader.cancel().catch(() => {});
    throw error instanceof BadArchive ? error : new BadArchive(`“${entry.path}” is damaged`);
  }
  return bytes.subarray(0, filled);
}

async function view(blob, from, to) {
  return new DataView(await blob.slice(from, to).arrayBuffer());
}

function megabytes(bytes) {
  return `${Math.round(bytes / 2 ** 20)} MB`;
}
