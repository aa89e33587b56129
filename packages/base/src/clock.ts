// Time as a parameter, so that schedules and locks are tested without waiting.

/** The wall clock. */
export interface Clock {
  now(): Date;
}

export const systemClock: Clock = { now: () => new Date() };
