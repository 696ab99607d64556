/**
 * @file How wide a text is, read from the font's own tables, because jsdom lays nothing out.
 *
 * Reads `head`, `hhea`, `hmtx` and the Unicode `cmap` (format 4: all of the basic plane) of a TrueType file;
 * leaves out kerning, ligatures and everything beyond the basic plane.
 */
const { readFileSync } = require("node:fs");

/**
 * @param {Buffer} font
 * @returns {Record<string, number>} offset of each table
 */
function tableOffsets(font) {
  /** @type {Record<string, number>} */
  const offsets = {};
  for (let index = 0; index < font.readUInt16BE(4); index++) {
    const record = 12 + 16 * index;
    offsets[font.toString("latin1", record, record + 4)] = font.readUInt32BE(record + 8);
  }
  return offsets;
}

/**
 * @param {Buffer} font
 * @param {number} cmap
 * @returns {Map<number, number>} glyph of each code point
 */
function glyphs(font, cmap) {
  const map = new Map();
  for (let index = 0; index < font.readUInt16BE(cmap + 2); index++) {
    const table = cmap + font.readUInt32BE(cmap + 4 + 8 * index + 4);
    if (font.readUInt16BE(table) === 4) readSegments(font, table, map);
  }
  return map;
}

/**
 * Format 4: segments of code points, each with a shift or a list of glyphs.
 * @param {Buffer} font
 * @param {number} table
 * @param {Map<number, number>} map
 */
function readSegments(font, table, map) {
  const twice = font.readUInt16BE(table + 6);
  const ends = table + 14;
  const starts = ends + twice + 2;
  for (let at = 0; at < twice; at += 2) {
    const shift = font.readUInt16BE(starts + twice + at);
    const rangeAt = starts + 2 * twice + at;
    const range = font.readUInt16BE(rangeAt);
    const first = font.readUInt16BE(starts + at);
    for (let code = first; code <= font.readUInt16BE(ends + at) && code < 0xffff; code++) {
      const glyph = range === 0 ? code : font.readUInt16BE(rangeAt + range + 2 * (code - first));
      if (glyph !== 0) map.set(code, (glyph + shift) & 0xffff);
    }
  }
}

/**
 * A function of a text that returns its width in units of the font's size.
 * @param {string} file path of a TrueType font
 * @returns {(text: string) => number}
 */
function textMeasure(file) {
  const font = readFileSync(file);
  const { head, hhea, hmtx, cmap } = tableOffsets(font);
  const unitsPerEm = font.readUInt16BE(head + 18);
  const numberOfMetrics = font.readUInt16BE(hhea + 34);
  const glyphOf = glyphs(font, cmap);
  /** @param {number} glyph */
  const advance = (glyph) => font.readUInt16BE(hmtx + 4 * Math.min(glyph, numberOfMetrics - 1));
  return (text) => {
    let units = 0;
    for (const character of text) units += advance(glyphOf.get(character.codePointAt(0) ?? 0) ?? 0);
    return units / unitsPerEm;
  };
}

module.exports = { textMeasure };
