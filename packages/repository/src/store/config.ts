// The config of a repository: format version, id, and the polynomial of its chunker.

import { randomBytes } from 'node:crypto';
import { AppError } from '@varve/base';
import { degree, isIrreducible, polynomialDegree, randomPolynomial } from '../chunker/polynomial.ts';
import { isHexId } from '../pack/blob-type.ts';
import { encodeGoJson, parseJsonObject } from './go-json.ts';

export interface RepositoryConfig {
  readonly version: 1 | 2;
  /** 64 hex digits. */
  readonly id: string;
  /** Irreducible, of degree 53; secret, it decides where files are cut. */
  readonly chunkerPolynomial: bigint;
}

/** The config of a new repository of format 2. */
export function newConfig(chunkerPolynomial = randomPolynomial(randomBytes)): RepositoryConfig {
  return { version: 2, id: randomBytes(32).toString('hex'), chunkerPolynomial };
}

export function encodeConfig({ version, id, chunkerPolynomial }: RepositoryConfig): Buffer {
  return encodeGoJson({ version, id, chunker_polynomial: chunkerPolynomial.toString(16) });
}

/** REPOSITORY_VERSION_UNSUPPORTED for formats that we cannot read, REPOSITORY_DAMAGED for what is not a config. */
export function decodeConfig(plaintext: Uint8Array): RepositoryConfig {
  const json = parseJsonObject(plaintext);
  if (!json) throw damaged('it is not JSON');
  const { version, id, chunker_polynomial: polynomial } = json;
  if (version !== 1 && version !== 2) {
    throw new AppError(
      'REPOSITORY_VERSION_UNSUPPORTED',
      `The repository has format ${String(version)}; formats 1 and 2 can be read.`,
      {
        hint: 'A newer version of this program may know it.',
      },
    );
  }
  if (!isHexId(id)) throw damaged('its id is not 64 hex digits');
  if (typeof polynomial !== 'string' || !/^[0-9a-f]{1,16}$/.test(polynomial))
    throw damaged('it has no chunker polynomial');
  const chunkerPolynomial = BigInt(`0x${polynomial}`);
  if (degree(chunkerPolynomial) !== polynomialDegree || !isIrreducible(chunkerPolynomial)) {
    throw damaged('its chunker polynomial is not irreducible of degree 53');
  }
  return { version, id, chunkerPolynomial };
}

function damaged(what: string): AppError {
  return new AppError('REPOSITORY_DAMAGED', `The config of the repository is damaged: ${what}.`);
}
