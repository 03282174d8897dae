module klikit-receiver

go 1.19
