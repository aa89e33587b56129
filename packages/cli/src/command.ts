// How a command is described and run.

import type { Command } from 'commander';
import type { Session } from './session.ts';

/** Does the work of a command; yields its exit code, 0 when it yields nothing. */
type Action = (session: Session, command: Command) => Promise<number | undefined | void>;

/** Gives a command the common options and its action. */
export type Register = (command: Command, action: Action) => void;

/** Adds a file's command to its parent. `words` are what follows its name on the command line, when it is the one that runs. */
export type AddCommand = (parent: Command, register: Register, words?: readonly string[]) => void;

/**
 * Adds the command that the first of `words` names; all of them when it names none: describing a hundred options takes longer
 * than most commands do before they begin their work.
 */
export function addNamed(
  parent: Command,
  register: Register,
  {
    words = [],
    commands,
  }: { readonly words?: readonly string[] | undefined; readonly commands: Readonly<Record<string, AddCommand>> },
): void {
  const [name = '', ...rest] = words;
  const named = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (named) named(parent, register, rest);
  else for (const add of Object.values(commands)) add(parent, register);
}

/** The text under a command's help. Each example is a comment and a command line. */
export function examples(...pairs: readonly (readonly [what: string, commandLine: string])[]): string {
  return `\nExamples:\n${pairs.map(([what, line]) => `  # ${what}\n  ${line}`).join('\n')}`;
}
