// An alert that should be open: what rules yield and texts are made from.

import type { Alert, JobType } from '@varve/contract';

export type AlertCode = Alert['code'];

/** Facts that the texts are made from; all are shown to people, none is a secret. */
export interface AlertFacts {
  readonly appName?: string | undefined;
  readonly jobType?: JobType | undefined;
  readonly errorMessage?: string | undefined;
  readonly hint?: string | undefined;
  /** Paths of files that damage has reached, the first of them. */
  readonly affected?: readonly string[] | undefined;
  readonly limitHours?: number | undefined;
  readonly limitMinutes?: number | undefined;
  /** Name of a database. */
  readonly component?: string | undefined;
  /** RFC 3339. */
  readonly since?: string | undefined;
}

export interface WantedAlert {
  readonly code: AlertCode;
  readonly appId: string | null;
  readonly subject: string;
  readonly facts: AlertFacts;
}
