// How a command is described and run.

import type { Command } from 'commander';
import type { Session } from './session.ts';

/** Does the work of a command; yields its exit code, 0 when it yields nothing. */
type Action = (session: Session, command: Command) => Promise<number | undefined | void>;

/** Gives a command the common options and its action. */
export type Register = (command: Command, action: Action) => void;

/** Adds a file's command to its parent. */
export type AddCommand = (parent: Command, register: Register) => void;

/** The text under a command's help. Each example is a comment and a command line. */
export function examples(...pairs: readonly (readonly [what: string, commandLine: string])[]): string {
  return `\nExamples:\n${pairs.map(([what, line]) => `  # ${what}\n  ${line}`).join('\n')}`;
}
