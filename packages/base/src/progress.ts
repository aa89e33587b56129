// What every long operation reports while it runs.

/** A state of work, not a difference: each report replaces the one before. Totals are absent while unknown. */
export interface Progress {
  readonly filesDone: number;
  readonly filesTotal?: number | undefined;
  readonly bytesDone: number;
  readonly bytesTotal?: number | undefined;
  /** The thing being worked on: a path, a database, a pack. */
  readonly current?: string | undefined;
}

export type OnProgress = (progress: Progress) => void;
