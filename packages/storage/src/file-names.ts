// How the files of a repository are named wherever they are (restic design.rst, "Repository Layout"): a folder a type, and
// 64 hex digits.

import { AppError } from '@varve/base';
import type { FileHandle, FileType } from './contract.ts';

/** The folder of each type. */
export const folders: Readonly<Record<Exclude<FileType, 'config'>, string>> = {
  key: 'keys',
  lock: 'locks',
  snapshot: 'snapshots',
  index: 'index',
  pack: 'data',
};

const fileName = /^[0-9a-f]{64}$/;

/** Whether an entry is a complete file of a repository; temporary files have longer names. */
export function isFileName(name: string): boolean {
  return fileName.test(name);
}

/** INTERNAL when the handle's name is not one. */
export function checkHandle({ type, name }: FileHandle): void {
  if (type === 'config' ? name === '' : isFileName(name)) return;
  throw new AppError('INTERNAL', `“${name}” is not the name of a ${type} file.`);
}

/** `pack 0123456789ab…`, for messages. */
export function describeHandle({ type, name }: FileHandle): string {
  return type === 'config' ? 'the config' : `${type} ${name.slice(0, 12)}…`;
}
