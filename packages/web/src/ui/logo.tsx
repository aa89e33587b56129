// The mark: layers of sediment folded into a V, cut from a core.

import { useId } from 'react';
import type { ReactNode } from 'react';

export function LogoMark({ size = 28 }: { readonly size?: number }): ReactNode {
  const clip = useId();
  return (
    <svg viewBox="0 0 32 32" width={size} height={size} aria-hidden="true" className="shrink-0">
      <clipPath id={clip}>
        <rect width="32" height="32" rx="7" />
      </clipPath>
      <g clipPath={`url(#${clip})`}>
        <rect width="32" height="32" fill="#0b5a6f" />
        <path d="M0 3 16 19 32 3V8.5L16 24.5 0 8.5z" fill="#f3ead6" />
        <path d="M0 11 16 27 32 11v2.5L16 29.5 0 13.5z" fill="#d9bd86" />
        <path d="M0 16 16 32 32 16V20L20 32H12L0 20z" fill="#b18a57" />
        <path d="M0 22 10 32H0zM32 22 22 32h10z" fill="#7d654d" />
      </g>
    </svg>
  );
}

export function Logo(): ReactNode {
  return (
    <span className="inline-flex items-center gap-2.5">
      <LogoMark />
      <span className="text-lg font-semibold tracking-tight">Varve</span>
    </span>
  );
}
