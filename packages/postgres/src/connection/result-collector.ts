// Results of statements, put together from the messages that carry them.

import type { BackendMessage, FieldDescription } from '../wire/backend-messages.ts';

/** The outcome of one statement. Values are texts as the server prints them. */
export interface QueryResult {
  readonly fields: readonly FieldDescription[];
  readonly rows: readonly (readonly (string | null)[])[];
  /** Command tag, such as `SELECT 3`. */
  readonly command: string;
}

/** Builds results from rows and command tags, in order. */
export class ResultCollector {
  readonly finished: QueryResult[] = [];
  #fields: readonly FieldDescription[] = [];
  #rows: (string | null)[][] = [];

  add(message: BackendMessage): void {
    switch (message.type) {
      case 'row-description':
        this.#fields = message.fields;
        break;
      case 'data-row':
        this.#rows.push(message.values.map((value) => (value === null ? null : textOf(value))));
        break;
      case 'command-complete':
        this.finished.push({ fields: this.#fields, rows: this.#rows, command: message.tag });
        this.#fields = [];
        this.#rows = [];
        break;
      default:
        break;
    }
  }
}

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}
