// Turns a key and parameters into text. Pure: the language comes in.

import { en } from './en.ts';
import { es } from './es.ts';
import type { Message, MessageKey, Messages, ParameterValue, Translate } from './messages.ts';

export type Language = 'en' | 'es';

export const languages: readonly { readonly code: Language; readonly name: string }[] = [
  { code: 'en', name: 'English' },
  { code: 'es', name: 'Español' },
];

export const messagesByLanguage: Readonly<Record<Language, Messages>> = { en, es };

/** The text of a key with its parameters filled in; numbers are written as `locale` writes them. */
export function createTranslate(language: Language, locale: string): Translate {
  const messages: Readonly<Record<MessageKey, Message>> = messagesByLanguage[language];
  const plurals = new Intl.PluralRules(locale);
  const numbers = new Intl.NumberFormat(locale);
  return (key, ...rest) => {
    const parameters: Readonly<Record<string, ParameterValue>> = rest[0] ?? {};
    const message = messages[key];
    return fill(typeof message === 'string' ? message : pluralText(message, parameters['count'], plurals), (name) => {
      const value = parameters[name];
      if (value === undefined) return `{${name}}`;
      return typeof value === 'number' ? numbers.format(value) : value;
    });
  };
}

function pluralText(
  message: Exclude<Message, string>,
  count: ParameterValue | undefined,
  plurals: Intl.PluralRules,
): string {
  return plurals.select(Number(count ?? 0)) === 'one' ? message.one : message.other;
}

function fill(text: string, valueOf: (name: string) => string): string {
  return text.replace(/\{(\w+)\}/g, (_, name: string) => valueOf(name));
}

/** The first language of the browser that we speak, else English. */
export function preferredLanguage(browserLanguages: readonly string[]): Language {
  for (const tag of browserLanguages) {
    const code = tag.slice(0, 2).toLowerCase();
    if (code === 'en' || code === 'es') return code;
  }
  return 'en';
}

/** The reader's own variant of the language (es-MX, en-GB), for dates and numbers. */
export function localeFor(language: Language, browserLanguages: readonly string[]): string {
  return browserLanguages.find((tag) => tag.toLowerCase().startsWith(language)) ?? language;
}
