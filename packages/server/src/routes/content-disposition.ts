// The name of a download in a header, safe whatever a file is called (RFC 6266, RFC 8187).

/** Names are cut to this many characters; file systems take 255 bytes. */
const mostCharacters = 120;

/**
 * `attachment; filename="…"; filename*=UTF-8''…`. No control character, quote, backslash or slash gets through, and the name
 * neither begins with a dot nor is empty.
 */
export function contentDisposition(name: string): string {
  const clean = name
    .toWellFormed()
    // Controls, also those that turn the direction of writing around, and what some systems do not take in names.
    .replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}"\\/:*?<>|]/gu, '_')
    .replace(/^[.\s]+/, '_');
  const characters = Array.from(clean);
  const short = characters.length <= mostCharacters ? clean : shortened(characters);
  const safe = short.trim() === '' ? 'download' : short.trim();
  const plain = safe.replaceAll(/[^ -~]/g, '_').replaceAll('%', '_');
  const encoded = encodeURIComponent(safe).replaceAll(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`;
}

/** The beginning and the extension. */
function shortened(characters: readonly string[]): string {
  const dot = characters.lastIndexOf('.');
  const extension = dot > 0 && characters.length - dot <= 12 ? characters.slice(dot) : [];
  return [...characters.slice(0, mostCharacters - extension.length), ...extension].join('');
}
