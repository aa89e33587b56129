// Go's fs.FileMode, which repositories store, as text. Source: Go's io/fs package, FileMode.String.

/** Letters of the bits from 31 down, as Go prints them. */
const typeLetters = 'dalTLDpSugct?';
const permissionLetters = 'rwxrwxrwx';

/** `drwxr-xr-x`, `-rw-r--r--`, `dtrwxrwxrwx`: exactly what Go prints, as in restic's listings. */
export function formatGoFileMode(mode: number): string {
  let text = '';
  for (const [index, letter] of Array.from(typeLetters).entries()) {
    if (isBitSet(mode, 31 - index)) text += letter;
  }
  if (text === '') text = '-';
  for (const [index, letter] of Array.from(permissionLetters).entries()) {
    text += isBitSet(mode, 8 - index) ? letter : '-';
  }
  return text;
}

function isBitSet(mode: number, bit: number): boolean {
  return (Math.floor(mode / 2 ** bit) & 1) === 1;
}
