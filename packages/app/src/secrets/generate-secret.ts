// New passwords that people can read aloud and type.

import { randomInt } from 'node:crypto';
import { Secret } from '@varve/base';

/** Crockford's base 32 in lower case: no i, l, o, u, which are mistaken for other letters and digits. 5 bits each. */
const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
const groups = 7;
const groupLength = 4;

/** A random password of 140 bits: seven groups of four letters or digits, separated by hyphens. */
export function generatePassword(): Secret {
  const group = (): string => Array.from({ length: groupLength }, () => alphabet[randomInt(alphabet.length)]).join('');
  return new Secret(Array.from({ length: groups }, group).join('-'));
}
