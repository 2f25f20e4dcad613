; Y = X W on dart-2048: 128 rows of X, 2048 wide, times 64 column blocks of 128 columns of W in MXINT4.
; One weight tile a column block, 139,264 B with its scales, ringing through 32 places of the Matrix SRAM.
; X lies in the Vector SRAM from element 0; Y goes to a row block of its own, overwritten by each column block.

S_LUI_INT gp1, 64               ; 262,144 elements (and Matrix SRAM cells) of a tile, MLEN x BLEN
S_LUI_INT gp2, 131072           ; scales start 512 MiB after the codes
C_SET_SCALE_REG gp2
S_LUI_INT gp3, 64               ; Y: Vector SRAM element 262,144, after the 128 rows of X
C_LOOP_START gp15, 2
S_ADDI_INT gp4, gp0, 0          ; place in the Matrix SRAM
C_LOOP_START gp14, 32
H_PREFETCH_M gp4, gp5, a0       ; the tile at HBM element gp5
M_MM gp4, gp0                   ; accumulate X times the tile
M_MM_WO gp3, 0                  ; write 128 x 128 results
S_ADD_INT gp4, gp4, gp1
S_ADD_INT gp5, gp5, gp1
C_LOOP_END gp14
C_LOOP_END gp15
