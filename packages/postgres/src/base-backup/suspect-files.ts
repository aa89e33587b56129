// The files in which the server found pages with a wrong checksum while it sent them. It tells them by warnings, whose text is
// translated; the path in quotation marks is not. Source: src/backend/backup/basebackup.c, sendFile.

import type { ServerReport } from '../wire/backend-messages.ts';

const pathInQuotes = /["“„«»『「'‹]\s?(?:\.\/)?((?:base|global|pg_tblspc)\/[\w./-]+)/;
const mostFiles = 1000;

export class SuspectFiles {
  readonly #files = new Set<string>();

  /** Takes any notice of a base backup. */
  note(report: ServerReport): void {
    const path = pathInQuotes.exec(report.message)?.[1];
    if (path !== undefined && this.#files.size < mostFiles) this.#files.add(path);
  }

  /** Paths in the data folder, in the order in which they were sent. */
  get files(): readonly string[] {
    return [...this.#files];
  }
}
