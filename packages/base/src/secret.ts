// A secret that cannot be printed by accident: every way of turning it into text yields `[redacted]`.

import { inspect } from 'node:util';

const redacted = '[redacted]';

/** Holds a password, key or token. Only {@link Secret.reveal} yields the text. */
export class Secret {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  /** The secret itself. Call it only where the value is used, never to build a message. */
  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return redacted;
  }

  toJSON(): string {
    return redacted;
  }

  [inspect.custom](): string {
    return redacted;
  }
}

const urlPassword = /([a-z][a-z0-9+.-]*:\/\/[^/\s:@]*):[^/\s@]*@/gi;

/** Replaces the password in every `scheme://user:password@host` of a text, and every given secret. */
export function redact(text: string, secrets: readonly Secret[] = []): string {
  let clean = text.replace(urlPassword, `$1:${redacted}@`);
  for (const secret of secrets) {
    const value = secret.reveal();
    if (value.length > 0) clean = clean.replaceAll(value, redacted);
  }
  return clean;
}
