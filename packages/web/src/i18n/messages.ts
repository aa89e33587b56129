// The types of messages: placeholders are read out of the English text, so that a missing or misspelt parameter is a type
// error, and every other language must have exactly the same keys with the same form.

import type { en } from './en.ts';

/** A message that depends on a count, by the plural categories of `Intl.PluralRules`. */
interface PluralMessage {
  readonly one: string;
  readonly other: string;
}

export type Message = string | PluralMessage;
export type MessageKey = keyof typeof en;

/** A complete language: the keys of English, each a plain text or a plural as there. */
export type Messages = { readonly [K in MessageKey]: (typeof en)[K] extends string ? string : PluralMessage };

type PlaceholdersOf<Text extends string> = Text extends `${string}{${infer Name}}${infer Rest}`
  ? Name | PlaceholdersOf<Rest>
  : never;

type TextOf<M> = M extends string ? M : M extends { readonly other: infer Other extends string } ? Other : never;

/** The parameters that a message takes; a plural always takes `count`. */
type MessageParameters<K extends MessageKey> =
  | PlaceholdersOf<TextOf<(typeof en)[K]>>
  | ((typeof en)[K] extends string ? never : 'count');

/** A number is written in the reader's language; text goes in as it is. */
export type ParameterValue = string | number;

/** Arguments after the key: none when the message has no placeholder. */
type MessageArguments<K extends MessageKey> = [MessageParameters<K>] extends [never]
  ? []
  : [parameters: Readonly<Record<MessageParameters<K>, ParameterValue>>];

/** Writes a message in the reader's language. */
export type Translate = <K extends MessageKey>(key: K, ...parameters: MessageArguments<K>) => string;
